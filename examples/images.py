"""Small images: a network of convolutions, as a program of Keras would have it, and as an estimator of scikit-learn.

Shapes are Keras's: images are (height, width, channels), channels last.
"""

import time

import numpy as np
from sklearn.model_selection import cross_val_score, train_test_split

import fastnn
from fastnn import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, datasets

digits = datasets.load("digits")
images = (digits.X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
X, X_test, y, y_test = train_test_split(images, digits.y, test_size=0.2, random_state=1, stratify=digits.y)

features = [
    Conv2D(16, 3, padding="same", activation="relu"),
    MaxPooling2D(2),
    Conv2D(32, 3, padding="same", activation="relu"),
]
head = [Flatten(), Dropout(0.4), Dense(64, "relu"), Dropout(0.4)]
network = fastnn.Network([Input((8, 8, 1)), *features, *head, Dense(10, "softmax")], seed=1)
print(network.summary())

trainer = fastnn.Trainer(
    network, loss="categorical_crossentropy", optimizer=fastnn.Adam(0.002), metrics=["accuracy"]
)  # fmt: skip
trainer.fit(X, y, epochs=1)  # the first call loads the compiled kernels
started = time.perf_counter()
trainer.fit(X, y, epochs=29)
print(f"29 epochs in {time.perf_counter() - started:.2f} s")
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.4f}")

# The same layers in scikit-learn's places: the output layer and the loss follow from y.
model = fastnn.NetworkClassifier([*features, *head], optimizer=fastnn.Adam(0.003), epochs=10, random_state=1)
scores = cross_val_score(model, X, y, cv=3)
print(f"cross-validation: {scores.mean():.4f}")
