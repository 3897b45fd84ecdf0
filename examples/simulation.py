"""A network inside your own compiled loop: an inverted pendulum, balanced by a controller learned from another.

The teacher is a linear feedback law with a limited torque. The network imitates it, and then flies the pendulum alone,
in a loop that Numba compiles: about half a microsecond a call, where the detour through Python would cost more than
the rest of the simulation.
"""

import time

import numba
import numpy as np

import fastnn

GRAVITY_OVER_LENGTH = 9.81  # 1/s^2, a pendulum of one metre
STEP = 0.002  # s


@numba.njit
def teacher(angle, velocity):
    """Torque over inertia, in 1/s^2, of the law that is imitated."""
    return min(max(-40.0 * angle - 9.0 * velocity, -15.0), 15.0)


rng = np.random.default_rng(0)
states = rng.uniform([-1.0, -4.0], [1.0, 4.0], size=(20_000, 2))
torques = np.array([teacher(angle, velocity) for angle, velocity in states])

network = fastnn.Network.mlp(2, [32, 32], 1, activation="tanh", seed=0)
trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.003))
trainer.fit(states, torques / 15.0, epochs=60, batch_size=64)
print(f"imitation: mean squared error {trainer.evaluate(states, torques / 15.0)['loss']:.6f}")

predict = network.compile_predictor()


@numba.njit
def simulate(angle, velocity, n_steps):
    """Angle (rad) at every step; the network sees the state and answers with a torque."""
    angles = np.empty(n_steps)
    output = np.empty(1, np.float32)
    for i in range(n_steps):
        predict((angle, velocity), output)
        velocity += STEP * (GRAVITY_OVER_LENGTH * np.sin(angle) + 15.0 * output[0])
        angle += STEP * velocity
        angles[i] = angle
    return angles


simulate(0.5, 0.0, 1)  # compiles
started = time.perf_counter()
angles = simulate(0.5, 0.0, 100_000)
microseconds = (time.perf_counter() - started) / len(angles) * 1e6
for second in (0, 1, 2, 4, 8):
    print(f"after {second} s: {angles[int(second / STEP)]:+.4f} rad")
print(f"{microseconds:.2f} us a step, with the network's answer in each")
assert abs(angles[-1]) < 0.05, "the pendulum fell"
