"""One step of gradient descent by hand: a network of 2 inputs, 2 ReLU units and 1 sigmoid unit, every value shown.

`Network.explain` lists what forward pass, loss and backward pass compute; the update follows, and the last lines repeat
it all in plain NumPy.
"""

import numpy as np

import fastnn

network = fastnn.Network.mlp(2, [2], 1, activation="relu", output="sigmoid", dtype="float64")
W1 = np.array([[0.5, -0.4], [0.3, 0.8]])  # W1[i, j]: from input i to hidden unit j
b1 = np.array([0.1, -0.2])
W2 = np.array([[0.7], [-0.6]])
b2 = np.array([0.05])
network.set_weights([W1, b1, W2, b2])

x, y = np.array([1.0, 0.5]), 1.0
learning_rate = 0.1

explanation = network.explain(x, y, loss="log_loss")
print(explanation)

print("update (learning rate 0.1)")
_, gradient = network.loss_and_gradient(x.reshape(1, 2), [y], loss="log_loss")
names, slopes = ["W1", "b1", "W2", "b2"], network.unflatten(gradient)
for name, weights, slope in zip(names, network.get_weights(), slopes, strict=True):
    print(f"  {name} - {learning_rate} * {slope.tolist()} = {(weights - learning_rate * slope).tolist()}")

# The trainer takes the very same step.
trainer = fastnn.Trainer(network, loss="log_loss", optimizer=fastnn.SGD(learning_rate))
trainer.fit(x.reshape(1, 2), [y], epochs=1, batch_size=1)
after = network.explain(x, y, loss="log_loss")
print(f"output: {explanation.output[0]:.6f} before, {after.output[0]:.6f} after")
print(f"loss:   {explanation.loss:.6f} before, {after.loss:.6f} after")

# The same on paper.
z1 = x @ W1 + b1
a1 = np.maximum(z1, 0)
z2 = a1 @ W2 + b2
a2 = 1 / (1 + np.exp(-z2))
delta2 = a2 - y  # of sigmoid and log loss together
delta1 = W2[:, 0] * delta2 * (z1 > 0)
on_paper = [
    W1 - learning_rate * np.outer(x, delta1),
    b1 - learning_rate * delta1,
    W2 - learning_rate * np.outer(a1, delta2),
    b2 - learning_rate * delta2,
]
for by_hand, by_fastnn in zip(on_paper, network.get_weights(), strict=True):
    np.testing.assert_allclose(by_fastnn, by_hand, rtol=1e-12)
print("plain NumPy gives the same weights to 12 digits")
