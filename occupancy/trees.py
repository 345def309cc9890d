"""Scoring one reading without the price of a call to XGBoost (100 µs, 300 among other work), from XGBoost's own trees.

A tree that asks about one sensor is a step function of it, and step functions add up: all such trees of a sensor become
one table, looked up by bisection. The other trees are walked all at once with NumPy, one level a step. Comparisons are
in single precision, as XGBoost's are. Tests hold the result to XGBoost's over real, random and boundary readings.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xgboost

from occupancy.model import Model, UnusableModel, deviation
from occupancy.preprocess import STEPS

HIGHEST_EXPONENT = 88.7
"""XGBoost keeps the logistic function's exponent below this, since exp overflows single precision beyond."""

Array = np.ndarray[Any, Any]


class Unscorable(UnusableModel):
    """The model is not a sum of trees, or single readings do not get the probabilities that it was saved with."""


class Scorer:
    """The trees of one booster, made ready for single readings."""

    def __init__(self, booster: xgboost.Booster, preprocessing: str) -> None:
        """Read the trees from the booster's JSON.

        Raises Unscorable for a booster that is anything but numeric trees, summed under a logistic function.
        """
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        self._preprocess = STEPS[preprocessing]
        self._base = _margin(learner["learner_model_param"]["base_score"])
        trees = [_tree(tree) for tree in _trees(learner)]
        asked = [set(tree.feature[tree.inner].tolist()) for tree in trees]
        self._steps = [
            _Steps.of(feature, [tree for tree, about in zip(trees, asked, strict=True) if about == {feature}])
            for feature in sorted(set().union(*(about for about in asked if len(about) == 1)))
        ]
        self._base += sum(float(tree.threshold[0]) for tree, about in zip(trees, asked, strict=True) if not about)
        walked = [tree for tree, about in zip(trees, asked, strict=True) if len(about) > 1]
        self._walk = _Walk(walked) if walked else None

    def probability(self, values: Sequence[float]) -> float:
        """Compute the probability of `occupied` for one reading: its sensor values in the contract's order."""
        inputs = self._preprocess(np.array([values], np.float32))[0]
        row = inputs.tolist()
        margin = self._base
        for feature, edges, sums in self._steps:
            margin += sums[bisect_right(edges, row[feature])]
        if self._walk is not None:
            margin += self._walk.margin(inputs)
        return 1 / (1 + math.exp(min(-margin, HIGHEST_EXPONENT)))


class Proven(NamedTuple):
    """A model, and what gives its single readings the probabilities that it was saved with."""

    model: Model
    scorer: Scorer


def prove(model: Model, name: str) -> Proven:
    """Score the model's golden readings one by one; raises Unscorable. `name` is what the error calls it."""
    scorer, golden = Scorer(model.booster, model.card.preprocessing), model.card.golden
    if found := deviation(golden, [scorer.probability(reading.values) for reading in golden]):
        raise Unscorable(f"{name} {found}; train it again with this program")
    return Proven(model, scorer)


class _Tree(NamedTuple):
    """A tree as XGBoost writes it, where a leaf is its own child and has its value for a threshold.

    What is below the threshold goes left.
    """

    inner: Array
    feature: Array
    threshold: Array
    left: Array
    right: Array

    def values(self, points: Array) -> Array:
        """Compute what the tree adds at some points of the only feature that it asks about."""
        at = np.zeros(len(points), np.intp)
        while self.inner[at].any():
            at = np.where(points < self.threshold[at], self.left[at], self.right[at])
        return self.threshold[at]


class _Steps(NamedTuple):
    """The sum of trees that ask about one feature: sums[n] where n of the edges are at or below its value."""

    feature: int
    edges: list[float]
    sums: list[float]

    @classmethod
    def of(cls, feature: int, trees: list[_Tree]) -> "_Steps":
        edges = np.unique(np.concatenate([tree.threshold[tree.inner] for tree in trees]))
        points = np.concatenate([[-np.inf], edges]).astype(np.float32)
        sums = np.stack([tree.values(points) for tree in trees]).sum(axis=0, dtype=np.float64)
        return cls(feature, edges.tolist(), sums.tolist())


class _Walk:
    """Trees as arrays over all of their nodes."""

    def __init__(self, trees: list[_Tree]) -> None:
        sizes = [len(tree.feature) for tree in trees]
        self._roots = np.cumsum([0, *sizes[:-1]])
        self._feature = np.concatenate([tree.feature for tree in trees])
        self._threshold = np.concatenate([tree.threshold for tree in trees])
        self._left = np.concatenate([tree.left + root for tree, root in zip(trees, self._roots, strict=True)])
        self._right = np.concatenate([tree.right + root for tree, root in zip(trees, self._roots, strict=True)])
        inner = np.concatenate([tree.inner for tree in trees])
        self._levels, level = 0, self._roots
        while (level := level[inner[level]]).size:
            level = np.concatenate([self._left[level], self._right[level]])
            self._levels += 1

    def margin(self, inputs: Array) -> float:
        following = np.where(inputs[self._feature] < self._threshold, self._left, self._right)
        at = self._roots
        for _ in range(self._levels):
            at = following[at]
        return float(self._threshold[at].sum(dtype=np.float64))


def _trees(learner: dict[str, Any]) -> list[dict[str, Any]]:
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if objective != "binary:logistic" or booster["name"] != "gbtree":
        raise Unscorable(f"the model is {objective} over {booster['name']}: serving needs binary:logistic over gbtree")
    trees: list[dict[str, Any]] = booster["model"]["trees"]
    if any(any(tree["split_type"]) for tree in trees):
        raise Unscorable("the model has a categorical split: serving needs numeric ones")
    return trees


def _tree(tree: dict[str, Any]) -> _Tree:
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    nodes, leaf = np.arange(len(left)), left < 0
    return _Tree(
        ~leaf,
        np.array(tree["split_indices"]),
        np.array(tree["split_conditions"], np.float32),
        np.where(leaf, nodes, left),
        np.where(leaf, nodes, right),
    )


def _margin(base_score: str) -> float:
    """Turn the booster's base score, a probability, into a margin; 3.x writes it as a list of one."""
    return -math.log(1 / float(np.float32(base_score.strip("[]"))) - 1)
