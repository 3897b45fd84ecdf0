"""The digits as a Keras program would have them: layers, fit with validation data, history, evaluate, predict."""

from sklearn.model_selection import train_test_split

import fastnn
from fastnn import datasets
from fastnn.layers import Dense, Input

digits = datasets.load("digits")
X, y = digits.X / 16, digits.y  # pixels are 0 to 16
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=1, stratify=y)
X_train, X_val, y_train, y_val = train_test_split(X_train, y_train, test_size=0.1, random_state=1, stratify=y_train)

model = fastnn.Network([Input(64), Dense(64, activation="relu"), Dense(10, activation="softmax")], seed=1)
print(model.summary())

# What Keras calls model.compile is an object of its own here. Integer labels need no "sparse_" loss.
trainer = fastnn.Trainer(model, loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
history = trainer.fit(X_train, y_train, epochs=40, batch_size=32, validation_data=(X_val, y_val), verbose=2)

best = max(range(40), key=lambda epoch: history.history["val_accuracy"][epoch])
print(f"best epoch on validation data: {best + 1}, val_accuracy {history.history['val_accuracy'][best]:.4f}")

results = trainer.evaluate(X_test, y_test)
print(f"test: loss {results['loss']:.4f}, accuracy {results['accuracy']:.4f}")

probabilities = model.predict(X_test[:5])
for row, label in zip(probabilities, y_test[:5], strict=True):
    print(f"label {label}: predicted {row.argmax()} with probability {row.max():.3f}")
