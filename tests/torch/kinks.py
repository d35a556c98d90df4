"""What a network of ReLUs and max pools decides: which elements pass, which of a window is the largest.

Between two decisions the network is smooth, so f32 and f64 that decide alike are as near to each other as rounding has
it; where they decide differently, gradients differ by whole terms. `Run` runs a traced module in any precision, by its
own decisions or by given ones. `watched` makes a module return what its decisions can be read from, `decisions` reads
them from what cnnc's code returned; so f64 can be told to decide as f32 did, and nothing is left but rounding."""

import copy

import torch
from torch import fx, nn

from common import export_torch


def decider(traced, node):
    """The ReLU, ReLU6 or MaxPool2d that a node is, or None."""
    layer = None
    if node.op == "call_module":
        layer = traced.get_submodule(node.target)
    elif node.op in ("call_function", "call_method") and node.target in export_torch.FUNCTIONS:
        layer = export_torch.FUNCTIONS[node.target](node.args, node.kwargs)
    return layer if isinstance(layer, (nn.ReLU, nn.ReLU6, nn.MaxPool2d)) else None


def decide(layer, x):
    """Of a ReLU, the elements that pass; of a ReLU6, 0, 1 where they pass, 2 where they are 6; of a pool, the place of
    each window's largest."""
    if isinstance(layer, nn.ReLU):
        return x > 0
    if isinstance(layer, nn.ReLU6):
        return (x > 0).int() + (x >= 6).int()
    args = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode
    return nn.functional.max_pool2d(x, *args, return_indices=True)[1]


def obey(layer, x, decision):
    """The layer's result by a decision."""
    if isinstance(layer, nn.ReLU):
        return torch.where(decision, x, torch.zeros_like(x))
    if isinstance(layer, nn.ReLU6):
        return torch.where(decision == 1, x, 3.0 * decision.to(x.dtype))
    return x.flatten(2).gather(2, decision.flatten(2)).reshape(decision.shape)


def margin(layer, x, decision):
    """How many of x's own decisions are others, and how far the input would have to move for the furthest of them."""
    own = decide(layer, x)
    other = own != decision
    if not other.any():
        return 0, 0.0
    return int(other.sum()), (obey(layer, x, own) - obey(layer, x, decision)).abs()[other].max().item()


class Run(fx.Interpreter):
    """A traced module that decides as told, or by itself. `inputs` has what each ReLU and pool was given, `made` what
    was decided."""

    def __init__(self, traced, told=None):
        super().__init__(traced)
        self.told, self.inputs, self.made = told, {}, {}

    def run_node(self, n):
        layer = decider(self.module, n)
        if layer is None:
            return super().run_node(n)
        x = self.fetch_args_kwargs_from_env(n)[0][0]
        self.inputs[n.name] = x.detach()
        self.made[n.name] = self.told[n.name] if self.told else decide(layer, x.detach())
        return obey(layer, x, self.made[n.name])

    def margins(self):
        """(decisions that differ from the run's own, furthest) of each ReLU and pool."""
        layers = {n.name: decider(self.module, n) for n in self.module.graph.nodes}
        return {k: margin(layers[k], x, self.made[k]) for k, x in self.inputs.items()}


def seen(traced):
    """{decider: the value that shows what it decided}: a ReLU's result, a pool's input."""
    layers = {n: decider(traced, n) for n in traced.graph.nodes}
    return {n: n.args[0] if isinstance(k, nn.MaxPool2d) else n for n, k in layers.items() if k is not None}


def watched(module):
    """A copy of the module whose outputs are `output`, its own, and under their names the values that show decisions."""
    traced = copy.deepcopy(fx.symbolic_trace(module))
    output = next(n for n in traced.graph.nodes if n.op == "output")
    output.args = ({"output": output.args[0], **{n.name: n for n in seen(traced).values()}},)
    traced.recompile()
    return traced


def decisions(traced, values):
    """What was decided where the values that show it, by name, are these."""
    made = {}
    for node, shown in seen(traced).items():
        made[node.name] = decide(decider(traced, node), values[shown.name])
    return made
