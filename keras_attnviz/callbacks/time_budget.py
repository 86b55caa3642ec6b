"""Time budget: the share of a training's time that logging may take."""

import numbers

from keras_attnviz._checks import message


class TimeBudget:
    """Decides whether logging once more stays within its share of the training's time.

    The first time is always allowed, because it isn't known yet how long logging takes.

    Args:
        max_overhead: None for no limit, or a number in (0, 1], the largest share of the time.

    Raises:
        TypeError: `max_overhead` is not a number.
        ValueError: it is not in (0, 1].
    """

    def __init__(self, max_overhead):
        must = "None or a number in (0, 1]"
        is_number = isinstance(max_overhead, numbers.Real) and not isinstance(max_overhead, bool)
        if max_overhead is not None and not is_number:
            raise TypeError(message("max_overhead", must, max_overhead))
        if is_number and not 0 < max_overhead <= 1:
            raise ValueError(message("max_overhead", must, max_overhead))
        self.max_overhead = max_overhead
        self.restart()

    def restart(self):
        """Forgets all measured times."""
        self._trained = self._spent = self._once = 0.0
        self._left_out = 0

    @property
    def overhead(self):
        """The share of the time that logging has taken so far, in [0, 1]."""
        total = self._trained + self._spent
        return self._spent / total if total else 0.0

    def trained(self, seconds):
        """Adds seconds of training, without logging."""
        self._trained += seconds

    def logged(self, seconds):
        """Adds seconds of logging."""
        self._spent += seconds
        self._once = seconds

    def allows(self):
        """Returns whether logging once more would stay within the share if it takes as long."""
        if self.max_overhead is None or not self._spent:
            return True
        spent = self._spent + self._once
        return spent <= self.max_overhead * (self._trained + spent)

    def admits(self, epoch, say=print):
        """Returns whether to log an epoch; prints one line for the first that is left out."""
        if self.allows():
            return True
        if not self._left_out:
            say(
                f"Attention is not logged after epoch {epoch + 1}, and some others: logging has "
                f"taken {self.overhead:.1%} of the time, and may take {self.max_overhead:.1%} "
                "(`max_overhead`)."
            )
        self._left_out += 1
        return False

    def tell(self, say=print):
        """Prints how many epochs were left out, if any."""
        if self._left_out:
            say(
                f"Attention was not logged after {self._left_out} epochs, to stay within "
                f"`max_overhead`; logging took {self.overhead:.1%} of the time."
            )
