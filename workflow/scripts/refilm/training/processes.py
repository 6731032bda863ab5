"""Several processes that train one model, each on its own GPU with its share of every batch.

The sum over all is what one process would have computed: losses are means over the batch, so gradients are averaged, as
one flat buffer; what must be known of the whole batch within a step is summed over the processes.
"""

import torch
import torch.distributed as dist
from torch import Tensor


class Processes:
    """The processes that share a training: `number` of this one, from 0, and how many there are, `count`."""

    def __init__(self, number: int, count: int):
        self.number, self.count = number, count

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, which all have."""
        if self.count > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, which all have."""
        return self.sum(tensor) / self.count if self.count > 1 else tensor

    def average_gradients(self, gradients: dict[str, list[Tensor]]) -> None:
        """Put the mean over all processes in the place of each gradient."""
        if self.count == 1:
            return
        tensors = [gradient for own in gradients.values() for gradient in own]
        # elements as they lie in memory, whatever the order of dimensions: it is the same in all processes
        flat = torch.cat([_in_memory(tensor) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            _in_memory(tensor).copy_(mean)

    def same(self, value: int) -> int:
        """The first process's value, in all of them. Waits for the device."""
        if self.count == 1:
            return value
        answer = torch.tensor([value], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.broadcast(answer, src=0)
        return int(answer.item())


ALONE = Processes(0, 1)


def _in_memory(tensor: Tensor) -> Tensor:
    """All elements of a dense tensor in their order in memory: (numel,), a view."""
    return tensor.as_strided((tensor.numel(),), (1,))
