"""The map of the game: how many steps it is from anywhere to each treasure chest.

The maps of steps are worked out once, when a worker starts, which takes most of a second: like the imports, models and
templates that a real backend loads, it is what a restart costs.
"""

from __future__ import annotations

import random
from array import array
from collections import deque

WIDTH = HEIGHT = 96
CHESTS = 240
UNREACHABLE = 0xFFFF


def lay_walls(seed: int) -> bytearray:
    """Return the map, row by row: 1 where a wall stands."""
    dice = random.Random(seed)
    return bytearray(dice.random() < 0.22 for _ in range(WIDTH * HEIGHT))


def measure_steps(walls: bytearray, chest: int) -> array[int]:
    """Return for every place the number of steps to the place ``chest``: a breadth-first search."""
    steps = array("H", [UNREACHABLE]) * len(walls)
    steps[chest] = 0
    edge = deque([chest])
    while edge:
        place = edge.popleft()
        row, column = divmod(place, WIDTH)
        onward = steps[place] + 1
        for free, near in (
            (column > 0, place - 1),
            (column < WIDTH - 1, place + 1),
            (row > 0, place - WIDTH),
            (row < HEIGHT - 1, place + WIDTH),
        ):
            if free and not walls[near] and steps[near] == UNREACHABLE:
                steps[near] = onward
                edge.append(near)
    return steps


_walls = lay_walls(seed=7)
_places = [place for place, wall in enumerate(_walls) if not wall]
chests = random.Random(11).sample(_places, CHESTS)
_steps = [measure_steps(_walls, chest) for chest in chests]


def nearest_chest(x: int, y: int) -> tuple[int, int]:
    """Return the number of the chest that is nearest to a place and the steps to it."""
    place = (y % HEIGHT) * WIDTH + x % WIDTH
    number = min(range(CHESTS), key=lambda chest: _steps[chest][place])
    return number, _steps[number][place]
