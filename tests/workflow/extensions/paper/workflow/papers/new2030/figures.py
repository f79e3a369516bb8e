"""The figure of a paper of one attack."""

import pandas as pd

from advsparse.artifacts import read_rows
from advsparse.figures.origin import stamp
from advsparse.figures.style import plt


def dots(inputs, settings):
    rows, _ = read_rows(inputs["only"], stage="rows")
    rate = rows[rows["metric"] == "fooling_rate"].set_index("attack")["value"]
    numbers = pd.DataFrame(settings["reads"]["only"]["points"])[["id", "kind"]]
    numbers["fooling_rate"] = numbers["id"].map(rate)
    figure, ax = plt.subplots()
    ax.plot(numbers["id"], numbers["fooling_rate"], "o")
    stamp(figure, settings)
    return figure, numbers
