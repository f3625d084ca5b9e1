"""Two steps of learning a prompt distribution, written plainly in PyTorch: no part of it is shared with this project or with another.

    python3 prompt_step.py > prompt-step.json

Needs torch 1.13 or later. Networks are Stable Diffusion 2's at a small size (CLIP's text encoder, the UNet) in float64, on weights that a
hash defines, so that the test beside it makes the same ones. Everything random is replaced by sines.
"""
import json
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

# Sizes
D, LAYERS, HEADS, MLP, VOCABULARY, LENGTH = 32, 2, 2, 64, 20, 12
CHANNELS, UNET_HEADS, GROUPS = [32, 64], [2, 4], 8
K, M, S, B, SIDE = 3, 2, 2, 2, 4
START, END, PAD, PREFIX, SUFFIX = 18, 19, 0, [5], [7]
LAMBDA, LEARNING_RATE, CLIP, STEPS, SALT = 0.05, 1e-2, 0.1, 2, 5


def hashed(i, n, salt):
    mask = 0xFFFFFFFF
    h = (i * 0x9E3779B1 + n * 0x85EBCA77 + salt * 0xC2B2AE3D + 0x165667B1) & mask
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & mask
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & mask
    return ((h ^ (h >> 16)) + 0.5) / 2**31 - 1


class Weights:
    """Asked for names and shapes once to learn them; then gives numbers, which depend on a name's place in the sorted list."""

    def __init__(self):
        self.shapes, self.tensors = {}, None

    def __call__(self, name, *shape):
        if self.tensors is None:
            self.shapes[name] = shape
            return torch.zeros(shape)
        return self.tensors[name]

    def fill(self):
        self.tensors = {}
        for n, name in enumerate(sorted(self.shapes)):
            shape = self.shapes[name]
            count = math.prod(shape)
            offset, factor = 0.0, 0.1
            if len(shape) > 1:
                factor = math.sqrt(6 / (count / shape[0]))
            elif name.endswith("weight"):
                offset = 1.0
            values = [offset + factor * hashed(i, n, SALT) for i in range(count)]
            self.tensors[name] = torch.tensor(values).float().double().reshape(shape)


def linear(w, name, x, out, bias=True):
    return F.linear(x, w(f"{name}.weight", out, x.shape[-1]), w(f"{name}.bias", out) if bias else None)


def layer_norm(w, name, x):
    d = x.shape[-1]
    return F.layer_norm(x, [d], w(f"{name}.weight", d), w(f"{name}.bias", d), 1e-5)


def group_norm(w, name, x, eps):
    c = x.shape[1]
    return F.group_norm(x, GROUPS, w(f"{name}.weight", c), w(f"{name}.bias", c), eps)


def conv(w, name, x, out, kernel=3, **options):
    weight = w(f"{name}.weight", out, x.shape[1], kernel, kernel)
    return F.conv2d(x, weight, w(f"{name}.bias", out), padding=kernel // 2, **options)


def attend(q, k, v, heads, mask=None):
    split = lambda t: t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def text_encoder(w, x):
    x = x + w("embeddings.position_embedding.weight", LENGTH, D)
    causal = torch.full((LENGTH, LENGTH), -math.inf).triu(1)
    for i in range(LAYERS):
        layer = f"encoder.layers.{i}"
        h = layer_norm(w, f"{layer}.layer_norm1", x)
        q, k, v = (linear(w, f"{layer}.self_attn.{p}_proj", h, D) for p in "qkv")
        x = x + linear(w, f"{layer}.self_attn.out_proj", attend(q, k, v, HEADS, causal), D)
        h = layer_norm(w, f"{layer}.layer_norm2", x)
        x = x + linear(w, f"{layer}.mlp.fc2", F.gelu(linear(w, f"{layer}.mlp.fc1", h, MLP)), D)
    return layer_norm(w, "final_layer_norm", x)


def resnet(w, name, x, time, out):
    h = conv(w, f"{name}.conv1", F.silu(group_norm(w, f"{name}.norm1", x, 1e-5)), out)
    h = h + linear(w, f"{name}.time_emb_proj", F.silu(time), out)[:, :, None, None]
    h = conv(w, f"{name}.conv2", F.silu(group_norm(w, f"{name}.norm2", h, 1e-5)), out)
    return h + (x if x.shape[1] == out else conv(w, f"{name}.conv_shortcut", x, out, 1))


def transformer(w, name, x, context, heads):
    c, height, width = x.shape[1:]
    h = group_norm(w, f"{name}.norm", x, 1e-6).flatten(2).transpose(1, 2)
    h = linear(w, f"{name}.proj_in", h, c)
    block = f"{name}.transformer_blocks.0"
    for layer, norm, source in (("attn1", "norm1", None), ("attn2", "norm2", context)):
        inner = layer_norm(w, f"{block}.{norm}", h)
        other = inner if source is None else source
        q = linear(w, f"{block}.{layer}.to_q", inner, c, bias=False)
        k = linear(w, f"{block}.{layer}.to_k", other, c, bias=False)
        v = linear(w, f"{block}.{layer}.to_v", other, c, bias=False)
        h = h + linear(w, f"{block}.{layer}.to_out.0", attend(q, k, v, heads), c)
    value, gate = linear(w, f"{block}.ff.net.0.proj", layer_norm(w, f"{block}.norm3", h), 8 * c).chunk(2, -1)
    h = h + linear(w, f"{block}.ff.net.2", value * F.gelu(gate), c)
    h = linear(w, f"{name}.proj_out", h, c)
    return x + h.transpose(1, 2).reshape(-1, c, height, width)


def unet(w, x, timesteps, context):
    low, high = CHANNELS
    frequencies = torch.exp(-math.log(10000) * torch.arange(low // 2) / (low // 2))
    angles = timesteps[:, None] * frequencies
    time = linear(w, "time_embedding.linear_1", torch.cat([angles.cos(), angles.sin()], 1), 4 * low)
    time = linear(w, "time_embedding.linear_2", F.silu(time), 4 * low)
    x = conv(w, "conv_in", x, low)
    skips = [x]
    x = resnet(w, "down_blocks.0.resnets.0", x, time, low)
    x = transformer(w, "down_blocks.0.attentions.0", x, context, UNET_HEADS[0])
    skips.append(x)
    x = conv(w, "down_blocks.0.downsamplers.0.conv", x, low, stride=2)
    skips.append(x)
    x = resnet(w, "down_blocks.1.resnets.0", x, time, high)
    skips.append(x)
    x = resnet(w, "mid_block.resnets.0", x, time, high)
    x = transformer(w, "mid_block.attentions.0", x, context, UNET_HEADS[1])
    x = resnet(w, "mid_block.resnets.1", x, time, high)
    for i in range(2):
        x = resnet(w, f"up_blocks.0.resnets.{i}", torch.cat([x, skips.pop()], 1), time, high)
    x = F.interpolate(x, scale_factor=2, mode="nearest")
    x = conv(w, "up_blocks.0.upsamplers.0.conv", x, high)
    for i in range(2):
        x = resnet(w, f"up_blocks.1.resnets.{i}", torch.cat([x, skips.pop()], 1), time, low)
        x = transformer(w, f"up_blocks.1.attentions.{i}", x, context, UNET_HEADS[0])
    return conv(w, "conv_out", F.silu(group_norm(w, "conv_norm_out", x, 1e-5)), 4)


def wave(*shape, a, b):
    n = torch.arange(math.prod(shape))
    return torch.sin(a * n * n + b * n).float().double().reshape(shape)


def step_inputs(i):
    return {
        "latents": wave(B, 4, SIDE, SIDE, a=0.013, b=0.7 + i),
        "noise": 1.3 * wave(B, 4, SIDE, SIDE, a=0.017, b=1.1 + i),
        "omega": 1.4 * wave(S, LENGTH, D, a=0.0071, b=0.3 + i),
        "timesteps": torch.tensor([[120.0, 700.0], [431.0, 5.0]][i]),
    }


betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
ALPHAS = torch.cumprod(1 - betas, 0).double()


def losses(text, denoiser, tokens, latents, noise, omega, timesteps):
    table = text("embeddings.token_embedding.weight", VOCABULARY, D)
    after = [*SUFFIX, END]
    words = lambda ids: table[torch.tensor(ids)].expand(K, -1, -1)
    rest = [PAD] * (LENGTH - 1 - len(PREFIX) - M - len(after))
    features = text_encoder(text, torch.cat([words([START, *PREFIX]), tokens, words(after + rest)], 1))
    # In every position whose prompts differ; the others have no spread, and no gradient of it.
    mean, varying = features.mean(0), 1 + len(PREFIX)
    std = torch.cat([torch.zeros(varying, D), features[:, varying:].std(0)])
    contexts = (mean + omega * std).repeat(B, 1, 1)
    alpha = ALPHAS[timesteps.long()][:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    repeat = lambda x: x.repeat_interleave(S, 0)
    predicted = unet(denoiser, repeat(noisy), repeat(timesteps), contexts)
    errors = (predicted - repeat(target)).square().reshape(B, -1).mean(1)
    pooled = F.normalize(features[:, 1 + len(PREFIX) + M + len(SUFFIX)], dim=-1)
    cosines = (pooled @ pooled.T).abs()
    orthogonal = sum(cosines[i, j] for i in range(K) for j in range(i + 1, K)) / (K * (K - 1))
    return errors, orthogonal


def main():
    text, denoiser = Weights(), Weights()
    tokens = (0.5 * wave(K, M, D, a=0.0037, b=0.9)).float().double().requires_grad_()
    losses(text, denoiser, tokens, **step_inputs(0))
    text.fill()
    denoiser.fill()
    optimizer = torch.optim.AdamW([tokens], lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    steps = []
    for i in range(STEPS):
        errors, orthogonal = losses(text, denoiser, tokens, **step_inputs(i))
        loss = errors.mean() + LAMBDA * orthogonal
        optimizer.zero_grad()
        loss.backward()
        gradient = tokens.grad.clone()
        norm = torch.nn.utils.clip_grad_norm_([tokens], CLIP)
        optimizer.step()
        rounded = lambda t: [float(f"{x:.9g}") for x in t.flatten().tolist()]
        steps.append(
            {
                "loss": loss.item(),
                "errors": errors.tolist(),
                "orthogonal": orthogonal.item(),
                "gradientNorm": norm.item(),
                "gradient": rounded(gradient),
                "tokens": rounded(tokens.detach()),
            }
        )
    print(json.dumps({"weights": {"text": len(text.shapes), "unet": len(denoiser.shapes)}, "steps": steps}))


main()
