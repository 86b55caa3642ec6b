"""Shows what an ImageNet Vision Transformer sees in a picture, and where it looks.

    python examples/explain_image.py [PICTURE_OR_URL]

Prints the class name and draws the picture beside its attention map to attention.png. vit-keras
downloads the weights (330 MB) on the first run.
"""

import sys

from keras_attnviz.drawing.figure import draw
from keras_attnviz.explain.explain_pictures import explain, open_model

URL = "https://upload.wikimedia.org/wikipedia/commons/d/d7/Granny_smith_and_cross_section.jpg"


def main(pictures):
    model = open_model("vit_b16", image_size=384, activation="sigmoid")
    explanations = explain(model, pictures)
    for explanation in explanations:
        print(f"{explanation.source}: {explanation.class_name} ({explanation.confidence:.1%})")
    draw(explanations).savefig("attention.png", dpi=150)
    print("Drawn: attention.png")


if __name__ == "__main__":
    main(sys.argv[1:] or [URL])
