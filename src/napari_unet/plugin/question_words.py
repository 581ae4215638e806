"""Question words: what each open question asks, and what each answer means."""

from __future__ import annotations

import re

# Question -> its title, and what it asks.
QUESTIONS = {
    "padding": ("Edge of the image", "What convolutions see beyond it"),
    "pooling": ("Shrinking", "How a level passes on to the coarser one"),
    "pool_place": (
        "Place of pooling",
        "Before or after the coarser level's convolutions",
    ),
    "activation": ("Activation", "The function after each convolution"),
    "decoder_activation": ("Activation on the way up", "That of the decoder"),
    "norm": ("Norm", "How features are rescaled"),
    "order": ("Order in a block", "Of convolution, norm and activation"),
    "concatenation": ("Joining", "Which half comes first where a skip is joined"),
    "upsampling": ("Enlarging", "How a level returns to the finer one"),
    "up_activation": ("After enlarging", "Whether an activation follows"),
    "pool_activation": ("After shrinking", "Whether an activation follows"),
    "gates": ("Attention gates", "What the first branch of a gate reads"),
    "factors": ("Size of steps", "By how much each level shrinks, the finest first"),
    "head": ("Output", "Which of several outputs is used"),
    "sum": ("Residual sum", "Whether the activation comes before it or after"),
    "output": ("Result", "What happens to the last layer's result"),
    "epsilon": ("Epsilon", "The small number in the norms' denominator"),
}

# Question, or none where it holds for all -> answer -> what it means.
MEANINGS = {
    "": {"yes": "there is one", "no": "there is none", "relu": "always ReLU"},
    "padding": {
        "same": "zeros; the size stays",
        "valid": "nothing; the result is smaller, as in the paper of 2015",
        "reflect": "the image, mirrored",
    },
    "pooling": {
        "max": "the largest of 2 pixels each way",
        "average": "the mean of 2 pixels each way",
        "strided": "convolutions of stride 2",
        "max_3": "the largest of 3 pixels each way, 2 apart",
    },
    "pool_place": {
        "before_convolutions": "before, as usual",
        "after_convolutions": "after",
    },
    "activation": {
        "relu": "max(x, 0)",
        "leaky_relu": "0.01 x where x is negative",
        "prelu": "a slope that was learned where x is negative",
        "elu": "exp(x) - 1 where x is negative",
        "selu": "ELU, scaled",
        "silu": "x · sigmoid(x), also called Swish",
        "gelu": "x · the normal distribution of x",
        "mish": "x · tanh(log(1 + exp(x)))",
        "hardswish": "Swish, of straight lines",
    },
    "decoder_activation": {"as_encoder": "as on the way down"},
    "norm": {
        "batch": "by statistics from training",
        "instance": "by each image's own statistics",
        "instance_hidden": "by each image's own statistics, without weights",
        "none": "there is none",
    },
    "order": {
        "convolution_norm_activation": "as usual",
        "convolution_activation_norm": "norm last",
        "norm_convolution_activation": "norm first",
        "norm_activation_convolution": "norm first, convolution last",
    },
    "concatenation": {
        "skip_first": "the skip, then what was enlarged",
        "up_first": "what was enlarged, then the skip",
    },
    "upsampling": {
        "linear": "interpolated, pixels as areas (align_corners=False)",
        "nearest": "each pixel repeated",
        "linear_corners": "interpolated between corners (align_corners=True)",
    },
    "gates": {
        "gating_first": "what comes from the coarser level",
        "skip_first": "the skip",
    },
    "head": {"all": "all of them, one after the other"},
    "sum": {
        "before_activation": "activation after the sum",
        "after_activation": "activation before the sum",
    },
    "output": {
        "same": "nothing",
        "half": "it is halved in size",
        "plus_input": "the image is added to it",
    },
    "epsilon": {"1e-5": "PyTorch's own"},
}

# Answers with a number of their own.
NUMBERED = (
    (re.compile(r"groups?_(\d+)"), "group norm with {} groups"),
    (re.compile(r"leaky_relu_([\d.]+)"), "{} x where x is negative"),
)


def title(question: str) -> str:
    """Return a question's title; its name, if it is a new one."""
    return QUESTIONS.get(question, (question.replace("_", " "), ""))[0]


def asked(question: str) -> str:
    """Return what a question asks; empty if it is a new one."""
    return QUESTIONS.get(question, ("", ""))[1]


def meaning(question: str, answer: str) -> str:
    """Return what an answer means; empty where its name says it all."""
    known = MEANINGS.get(question, {}).get(answer)
    if known is not None:
        return known
    for pattern, text in NUMBERED:
        found = pattern.fullmatch(answer)
        if found:
            return text.format(found[1])
    return MEANINGS[""].get(answer, "")
