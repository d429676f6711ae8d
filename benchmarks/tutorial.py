"""The tutorials' script, as published: plain Keras, one process, its two figures.

Only what a benchmark needs is added: the figures go to files instead of a window, and the
last line of the output says where the time went. The data come from Keras' own cache.
"""

import json
import sys
import time

started = time.perf_counter()

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from tensorflow import keras  # noqa: E402

imported = time.perf_counter()
folder = sys.argv[1]

(train_images, train_labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
class_names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
class_names += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
train_images = train_images / 255.0
test_images = test_images / 255.0

plt.figure(figsize=(10, 10))
for i in range(25):
    plt.subplot(5, 5, i + 1)
    plt.xticks([])
    plt.yticks([])
    plt.grid(False)
    plt.imshow(train_images[i], cmap=plt.cm.binary)
    plt.xlabel(class_names[train_labels[i]])
plt.savefig(f"{folder}/sample.png")

model = keras.Sequential(
    [
        keras.layers.Flatten(input_shape=(28, 28)),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10),
    ]
)
model.compile(
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
epoch_ends = []
fit_started = time.perf_counter()
model.fit(
    train_images,
    train_labels,
    epochs=10,
    callbacks=[
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: epoch_ends.append(time.perf_counter())
        )
    ],
)
fitted = time.perf_counter()
test_loss, test_accuracy = model.evaluate(test_images, test_labels, verbose=2)
predictions = keras.Sequential([model, keras.layers.Softmax()]).predict(test_images)


def plot_image(i: int) -> None:
    """Draw test image i with what the model makes of it."""
    plt.grid(False)
    plt.xticks([])
    plt.yticks([])
    plt.imshow(test_images[i], cmap=plt.cm.binary)
    predicted = np.argmax(predictions[i])
    colour = "blue" if predicted == test_labels[i] else "red"
    share = 100 * np.max(predictions[i])
    label = f"{class_names[predicted]} {share:2.0f}% ({class_names[test_labels[i]]})"
    plt.xlabel(label, color=colour)


def plot_value_array(i: int) -> None:
    """Draw the probabilities of test image i."""
    plt.grid(False)
    plt.xticks(range(10))
    plt.yticks([])
    bars = plt.bar(range(10), predictions[i], color="#777777")
    plt.ylim((0, 1))
    bars[np.argmax(predictions[i])].set_color("red")
    bars[test_labels[i]].set_color("blue")


plt.figure(figsize=(12, 10))
for i in range(15):
    plt.subplot(5, 6, 2 * i + 1)
    plot_image(i)
    plt.subplot(5, 6, 2 * i + 2)
    plot_value_array(i)
plt.tight_layout()
plt.savefig(f"{folder}/predictions.png")


def peak_memory() -> float:
    """The largest resident set of this process so far, in MB."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


epochs = np.diff([fit_started, *epoch_ends])
print(
    json.dumps(
        {
            "accuracy": float(test_accuracy),
            "imports": imported - started,
            "training": fitted - fit_started,
            "epoch": float(np.median(epochs[1:])),
            "memory": peak_memory(),
        }
    )
)
