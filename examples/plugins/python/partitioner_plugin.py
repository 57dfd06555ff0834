"""The partitioner of `examples/plugins`, in Python: a key goes to `xxh3_64(key) mod partitions`. `README.md` of the folder
above says what all languages do."""

from componentize_py_types import Err
from wit_world import exports
from xxh3 import xxh3_64

_U64 = 1 << 64


class PartitionerHooks(exports.PartitionerHooks):
    partitions = 1

    def configure(self, context):
        for name, _ in context.options:
            raise Err(f"there is no option {name}: this plugin takes none")
        PartitionerHooks.partitions = context.partitions
        return []

    def partition(self, batch, keys):
        unkeyed = self._unkeyed(batch)
        return [unkeyed if key is None else xxh3_64(key) % self.partitions for key in keys]

    def close(self):
        pass

    def _unkeyed(self, batch):
        """The producer's guess, else batch by batch round the partitions."""
        if batch.guess is not None and batch.guess < self.partitions:
            return batch.guess
        return ((batch.producer_id or 0) + batch.ordinal) % _U64 % self.partitions
