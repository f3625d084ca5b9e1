"""Stable Diffusion 2.1 and DreamDistribution's step in plain PyTorch: what the engine's numbers are compared with.

    python3 pytorch.py --mode eager|compiled [--config sd21|tiny] [--device cuda] [--sizes 768,512] [--ready FILE --go FILE]

The networks have the published shapes and random weights; the step does the work of the official code (the autoencoder encodes in every
step, the samples' noisy latents are repeated, nothing is shared). bf16 weights and activations, channels-last pictures, PyTorch's own
attention. Prints one JSON object per line: {"row": ...} for a measurement, {"note": ...} otherwise. With --go it prepares everything,
creates the file --ready and measures once the file --go is there.
"""
import argparse
import json
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SD21 = dict(channels=(320, 640, 1280, 1280), head=64, context=1024, text_layers=23, text_heads=16, vocabulary=49408,
            vae=(128, 256, 512, 512), prompts=32, vectors=4, samples=4)
TINY = dict(channels=(32, 64, 128, 128), head=32, context=64, text_layers=2, text_heads=2, vocabulary=300,
            vae=(32, 64, 64, 64), prompts=4, vectors=2, samples=2)
LENGTH = 77
SCALE = 0.18215


class Resnet(nn.Module):
    def __init__(self, inner, outer, time_width=None, eps=1e-5):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, inner, eps)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.time = nn.Linear(time_width, outer) if time_width else None
        self.norm2 = nn.GroupNorm(32, outer, eps)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else None

    def forward(self, x, time_features=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time is not None:
            h = h + self.time(F.silu(time_features))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):
    def __init__(self, width, heads, context=None, bias=False):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=bias)
        self.k = nn.Linear(context or width, width, bias=bias)
        self.v = nn.Linear(context or width, width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, x, context=None, causal=False):
        context = x if context is None else context
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(context)), split(self.v(context)), is_causal=causal)
        return self.out(y.transpose(1, 2).flatten(2))


class GatedFeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, 8 * width)
        self.outer = nn.Linear(4 * width, width)

    def forward(self, x):
        value, gate = self.inner(x).chunk(2, dim=-1)
        return self.outer(value * F.gelu(gate))


class SpatialTransformer(nn.Module):
    def __init__(self, width, head, context):
        super().__init__()
        self.norm = nn.GroupNorm(32, width, 1e-6)
        self.proj_in = nn.Linear(width, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention = Attention(width, width // head)
        self.cross_attention = Attention(width, width // head, context)
        self.feed_forward = GatedFeedForward(width)
        self.proj_out = nn.Linear(width, width)

    def forward(self, x, context):
        batch, channels, height, width = x.shape
        h = self.norm(x).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        h = self.proj_in(h)
        h = h + self.self_attention(self.norm1(h))
        h = h + self.cross_attention(self.norm2(h), context)
        h = h + self.feed_forward(self.norm3(h))
        h = self.proj_out(h).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return x + h


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, head, context = config["channels"], config["head"], config["context"]
        first, time_width = channels[0], 4 * channels[0]
        self.first = first
        self.time = nn.Sequential(nn.Linear(first, time_width), nn.SiLU(), nn.Linear(time_width, time_width))
        self.conv_in = nn.Conv2d(4, first, 3, padding=1)
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        skips, inner, last = [first], first, len(channels) - 1
        for level, outer in enumerate(channels):
            layers = nn.ModuleList()
            for _ in range(2):
                attention = SpatialTransformer(outer, head, context) if level < last else None
                layers.append(nn.ModuleList([Resnet(inner, outer, time_width)] + ([attention] if attention else [])))
                skips.append(outer)
                inner = outer
            self.down.append(layers)
            if level < last:
                self.downsample.append(nn.Conv2d(outer, outer, 3, stride=2, padding=1))
                skips.append(outer)
        self.middle1, self.middle2 = Resnet(inner, inner, time_width), Resnet(inner, inner, time_width)
        self.middle_attention = SpatialTransformer(inner, head, context)
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level, outer in reversed(list(enumerate(channels))):
            layers = nn.ModuleList()
            for _ in range(3):
                attention = SpatialTransformer(outer, head, context) if level < last else None
                layers.append(nn.ModuleList([Resnet(inner + skips.pop(), outer, time_width)] + ([attention] if attention else [])))
                inner = outer
            self.up.append(layers)
            if level > 0:
                self.upsample.append(Upsample(outer))
        self.norm_out = nn.GroupNorm(32, first)
        self.conv_out = nn.Conv2d(first, 4, 3, padding=1)

    @staticmethod
    def layer(parts, h, time_features, context):
        h = parts[0](h, time_features)
        return parts[1](h, context) if len(parts) > 1 else h

    def forward(self, x, timesteps, context):
        half = self.first // 2
        frequencies = torch.exp(torch.arange(half, device=x.device, dtype=torch.float32) * (-math.log(10000.0) / half))
        angles = timesteps.float()[:, None] * frequencies[None]
        time_features = self.time(torch.cat([angles.cos(), angles.sin()], dim=-1).to(x.dtype))
        h = self.conv_in(x)
        skips = [h]
        for level, layers in enumerate(self.down):
            for parts in layers:
                h = self.layer(parts, h, time_features, context)
                skips.append(h)
            if level < len(self.downsample):
                h = self.downsample[level](h)
                skips.append(h)
        h = self.middle1(h, time_features)
        h = self.middle_attention(h, context)
        h = self.middle2(h, time_features)
        for level, layers in enumerate(self.up):
            for parts in layers:
                h = self.layer(parts, torch.cat([h, skips.pop()], dim=1), time_features, context)
            if level < len(self.upsample):
                h = self.upsample[level](h)
        return self.conv_out(F.silu(self.norm_out(h)))


class TextLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, bias=True)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x), causal=True)
        return x + self.outer(F.gelu(self.inner(self.norm2(x))))


class TextEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["context"]
        self.tokens = nn.Embedding(config["vocabulary"], width)
        self.positions = nn.Embedding(LENGTH, width)
        self.layers = nn.ModuleList(TextLayer(width, config["text_heads"]) for _ in range(config["text_layers"]))
        self.norm = nn.LayerNorm(width)

    def forward(self, embeddings):
        x = embeddings + self.positions.weight
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class AutoencoderAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, 1e-6)
        self.attention = Attention(channels, 1, bias=True)

    def forward(self, x):
        batch, channels, height, width = x.shape
        h = self.attention(self.norm(x).flatten(2).transpose(1, 2))
        return x + h.transpose(1, 2).reshape(batch, channels, height, width)


def middle(channels):
    return nn.Sequential(Resnet(channels, channels, eps=1e-6), AutoencoderAttention(channels), Resnet(channels, channels, eps=1e-6))


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


def encoder(channels):
    layers, inner = [nn.Conv2d(3, channels[0], 3, padding=1)], channels[0]
    for level, outer in enumerate(channels):
        layers += [Resnet(inner, outer, eps=1e-6), Resnet(outer, outer, eps=1e-6)]
        inner = outer
        if level < len(channels) - 1:
            layers.append(Downsample(outer))
    layers += [middle(inner), nn.GroupNorm(32, inner, 1e-6), nn.SiLU(), nn.Conv2d(inner, 8, 3, padding=1), nn.Conv2d(8, 8, 1)]
    return nn.Sequential(*layers)


def decoder(channels):
    inner = channels[-1]
    layers = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, inner, 3, padding=1), middle(inner)]
    for level, outer in reversed(list(enumerate(channels))):
        layers += [Resnet(inner, outer, eps=1e-6), Resnet(outer, outer, eps=1e-6), Resnet(outer, outer, eps=1e-6)]
        inner = outer
        if level > 0:
            layers.append(Upsample(outer))
    layers += [nn.GroupNorm(32, inner, 1e-6), nn.SiLU(), nn.Conv2d(inner, 3, 3, padding=1)]
    return nn.Sequential(*layers)


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def emit(**message):
    print(json.dumps(message), flush=True)


class Bench:
    def __init__(self, options):
        self.config = SD21 if options.config == "sd21" else TINY
        self.device = torch.device(options.device)
        self.dtype = torch.bfloat16
        self.compiled = options.mode == "compiled"
        self.repeats = options.repeats
        self.label = "PyTorch " + ("compiled" if self.compiled else "eager")
        torch.manual_seed(0)
        make = lambda module: module.to(self.device, self.dtype).requires_grad_(False).eval().to(memory_format=torch.channels_last)
        self.unet = make(UNet(self.config))
        self.text = make(TextEncoder(self.config))
        self.encoder = make(encoder(self.config["vae"]))
        self.decoder = make(decoder(self.config["vae"]))
        emit(note="%.1f M parameters: UNet %.1f, text %.1f" % tuple(n / 1e6 for n in (
            parameters(self.unet, self.text, self.encoder, self.decoder), parameters(self.unet), parameters(self.text))))
        wrap = (lambda module: torch.compile(module, dynamic=False)) if self.compiled else (lambda module: module)
        self.run_unet, self.run_text, self.run_encoder, self.run_decoder = map(wrap, (self.unet, self.text, self.encoder, self.decoder))

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def milliseconds(self, work, warm_up=3):
        """Median time of a call, on the host's clock with the device idle before and after."""
        for _ in range(warm_up):
            work()
        times = []
        for _ in range(self.repeats):
            self.synchronize()
            start = time.perf_counter()
            work()
            self.synchronize()
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times)

    def noise(self, *shape):
        x = torch.randn(*shape, device=self.device).to(self.dtype)
        return x.to(memory_format=torch.channels_last) if x.dim() == 4 else x

    def step(self, size):
        """A step of learning on one picture of this many pixels, as a function without arguments."""
        c = self.config
        tokens = nn.Parameter(0.02 * torch.randn(c["prompts"], c["vectors"], c["context"], device=self.device))
        optimizer = torch.optim.AdamW([tokens], lr=1e-3, weight_decay=0.01)
        picture = self.noise(1, 3, size, size).clamp(-1, 1)
        ids = torch.randint(c["vocabulary"], (LENGTH,), device=self.device)
        samples, prompts = c["samples"], c["prompts"]

        def work():
            with torch.no_grad():
                center, log_variance = self.run_encoder(picture).chunk(2, dim=1)
                latents = SCALE * (center + torch.exp(0.5 * log_variance.clamp(-30, 20)) * torch.randn_like(center))
                noise = torch.randn_like(latents)
                angle = torch.rand((), device=self.device).to(self.dtype)
                signal, sigma = torch.cos(angle), torch.sin(angle)
                noisy = signal * latents + sigma * noise
                target = signal * noise - sigma * latents
                timestep = torch.randint(1000, (1,), device=self.device)
                frozen = self.text.tokens(ids)[None].expand(prompts, -1, -1)
            embeddings = torch.cat([frozen[:, :1], tokens.to(self.dtype), frozen[:, 1 + c["vectors"]:]], dim=1)
            features = self.run_text(embeddings)
            mean, deviation = features.float().mean(0), features.float().std(0)
            omega = torch.randn(samples, LENGTH, c["context"], device=self.device)
            contexts = (mean + deviation * omega).to(self.dtype)
            # As the official code: every sample has its own copy of the same noisy latents.
            repeated = noisy.repeat(samples, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            prediction = self.run_unet(repeated, timestep.repeat(samples), contexts)
            error = F.mse_loss(prediction.float(), target.float().repeat(samples, 1, 1, 1))
            pooled = F.normalize(features[:, 1 + c["vectors"]].float(), dim=-1)
            likeness = (pooled @ pooled.T).abs()
            orthogonal = (likeness.sum() - likeness.diagonal().sum()) / (prompts * (prompts - 1))
            (error + 0.005 * orthogonal).backward()
            torch.nn.utils.clip_grad_norm_([tokens], 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return work

    def sampling(self, size):
        """A sampling step with guidance, and decoding, as functions without arguments."""
        side = size // 8
        latents, contexts = self.noise(2, 4, side, side), self.noise(2, LENGTH, self.config["context"])
        timesteps = torch.tensor([500, 500], device=self.device)

        @torch.no_grad()
        def sample():
            uncond, cond = self.run_unet(latents, timesteps, contexts).chunk(2)
            return uncond + 7.5 * (cond - uncond)

        @torch.no_grad()
        def decode():
            return self.run_decoder(latents[:1])

        return sample, decode

    def row(self, id, name, value, unit, detail=""):
        emit(row=dict(id=f"pytorch.{'compiled' if self.compiled else 'eager'}.{id}", name=f"{self.label}: {name}", value=value, unit=unit, floor=None, detail=detail))

    def peak(self):
        return "%.1f GB at its peak" % (torch.cuda.max_memory_allocated() / 1e9) if self.device.type == "cuda" else ""

    def primitives(self):
        """Ceilings of the card, and the layers that the engine's kernels are measured on."""
        def rate(name, work, flop, unit="TFLOP/s", scale=1e12):
            self.row(name, name, flop / (self.milliseconds(work) / 1e3) / scale, unit)

        n = 8192 if self.device.type == "cuda" else 64
        a, b = self.noise(n, n), self.noise(n, n)
        rate(f"matmul {n}³, bf16", lambda: a @ b, 2.0 * n ** 3)
        big = torch.randn((1 << 30) if self.device.type == "cuda" else 1024, device=self.device)
        other = torch.empty_like(big)
        rate("copy", lambda: other.copy_(big), 2.0 * big.numel() * 4, "GB/s", 1e9)
        del big, other
        if self.device.type != "cuda":
            return
        x, w = self.noise(4, 320, 96, 96), self.noise(320, 320, 3, 3)
        rate("conv 3x3 320→320 @ 96², bf16", lambda: F.conv2d(x, w, padding=1), 2.0 * 4 * 96 * 96 * 320 * 320 * 9)
        rows, wide = self.noise(36864, 320), self.noise(960, 320)
        rate("linear 36864 x 320 → 960, bf16", lambda: F.linear(rows, wide), 2.0 * 36864 * 320 * 960)
        q, k, v = (torch.randn(4, 5, 9216, 64, device=self.device, dtype=self.dtype, requires_grad=True) for _ in range(3))
        flop = 4.0 * 4 * 5 * 9216 * 9216 * 64
        with torch.no_grad():
            rate("attention 5 heads, 9216 x 9216 x 64, batch 4, bf16", lambda: F.scaled_dot_product_attention(q, k, v), flop)
        y = F.scaled_dot_product_attention(q, k, v)
        dy = torch.randn_like(y)
        rate("attention 5 heads, 9216 x 9216 x 64, batch 4, backward, bf16",
             lambda: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True), 2.5 * flop)
        gamma = torch.randn(320, device=self.device, dtype=self.dtype)
        rate("group norm + SiLU, 320 @ 96², bf16", lambda: F.silu(F.group_norm(x, 32, gamma, gamma)), 2.0 * x.numel() * 2, "GB/s", 1e9)

    def guarded(self, what, work):
        """A failure costs its own measurement only."""
        try:
            work()
        except Exception as error:  # noqa: BLE001
            emit(error=f"{self.label}, {what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def measure_step(self, size, work):
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        value = self.milliseconds(work)
        self.row(f"step.{size}", f"learning step, {size} px, bf16", value, "ms", self.peak())

    def measure_sampling(self, size):
        sample, decode = self.sampling(size)
        self.row(f"sampling.{size}", f"sampling step with guidance, {size} px, bf16", self.milliseconds(sample), "ms")
        self.row(f"decode.{size}", f"decoding, {size} px, bf16", self.milliseconds(decode), "ms")


def wait_for(path):
    while not os.path.exists(path):
        if os.getppid() == 1:
            sys.exit(0)  # whoever was to give the word is gone
        time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["eager", "compiled"], default="eager")
    parser.add_argument("--config", choices=["sd21", "tiny"], default="sd21")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="768,512")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--ready")
    parser.add_argument("--go")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    sizes = [int(size) for size in options.sizes.split(",")]
    bench = Bench(options)
    steps = {size: bench.step(size) for size in sizes}
    if options.go:
        # Compiling takes a minute or more; the measurement is to disturb nobody and to be disturbed by nobody.
        for size in sizes:
            bench.guarded(f"compiling the step at {size} px", steps[size])
        bench.synchronize()
        open(options.ready, "w").close()
        wait_for(options.go)
    else:
        bench.guarded("primitives", bench.primitives)
    for size in sizes:
        bench.guarded(f"step at {size} px", lambda: bench.measure_step(size, steps[size]))
    if not bench.compiled:
        for size in sizes:
            bench.guarded(f"sampling at {size} px", lambda: bench.measure_sampling(size))
    emit(done=True)


main()
