"""Two epochs of the recipe `cnn-plain` by `model.fit`: plain Keras, as most people train.

`python fit.py ARCHIVE BATCH_SIZE` prints the seconds of the second one, which compiles nothing.
"""

import sys
import time

import numpy as np
from tensorflow import keras

archive = np.load(sys.argv[1])
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10),
    ]
)
model.compile(
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
ends = []
model.fit(
    archive["images"],
    archive["labels"],
    batch_size=int(sys.argv[2]),
    epochs=2,
    verbose=0,
    callbacks=[
        keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    ],
)
print(ends[1] - ends[0])
