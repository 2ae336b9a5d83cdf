"""What the fused ops are to reach on a CPU, and what is in the way where they do not."""

from tests.bench.goal import BEST, LIMIT, Goal

RECORD = "ops-amd-zen5"  # of the machine that the reasons are about

FORWARD, BOTH = "forward$", r"forward\+backward$"
FLOAT32 = f"float32 {FORWARD}"
LARGE = "(12608x192|4096x768|65536x1024)"
FUSED, CPU_ADAM, SDPA = "torch fused", "DeepSpeed CPUAdam", "SDPA"
CHAIN, DEFAULT_CHAIN = "torch fused chain", "torch foreach chain"
WHOLE = r"^attention (ViT|GPT|causal B1) ?.* D64"
PARTS = r"^attention causal, (window|documents)"
FEATURES = "^attention.* (ALiBi|softcap|sinks|dropout|mask|GQA|unequal|decoding)"

# What is in the way, on that machine.
MEMORY = "memory: what is left to its limit is not enough"
LOOK = "Python's look at each tensor, whose objects other work has driven out of the caches"
CALL = "the call: Python and dispatch with cold caches"
KERNEL = "the kernel: without Python and dispatch it takes as long"
LEFT = "what other turns left to be written: whoever reads next has to wait for it"
CHOICE = "the choice in Python to leave a call to PyTorch"
PRODUCTS = "what stands beside the products: softmax, packing, the call"

ADAMW = (
    Goal("AdamW, 124M parameters in 148 tensors", "^adamw gpt2 float32", FUSED, 1.2, None, MEMORY),
    Goal("the same", "^adamw gpt2 float32", CPU_ADAM, 1.1, None, MEMORY),
    Goal("the same", "^adamw gpt2 float32", LIMIT, None, 0.95, MEMORY),
    Goal("AdamW, 5.7M in 152", "^adamw vit float32", FUSED, 1.5, 1.7, MEMORY),
    Goal("the same", "^adamw vit float32", CPU_ADAM, 1.3, 1.4, MEMORY),
    Goal("AdamW, 41k in 14", "^adamw mlp float32", FUSED, 5, 6, LOOK),
    Goal("the same", "^adamw mlp float32", CPU_ADAM, 3, 4, LOOK),
    Goal("AdamW, bfloat16", "^adamw .* bfloat16", FUSED, 2, 3, f"{MEMORY}; {LOOK}"),
    Goal("the same", "^adamw .* bfloat16", CPU_ADAM, 1.5, 2.3, f"{MEMORY}; {LOOK}"),
    Goal("clip + AdamW + average, 124M", "^optimizer phase gpt2", CHAIN, 1.8, None, MEMORY),
    Goal("the same", "^optimizer phase gpt2", DEFAULT_CHAIN, 4, None, MEMORY),
    Goal("the same, 5.7M", "^optimizer phase vit", CHAIN, 2.2, None, MEMORY),
    Goal("the same", "^optimizer phase vit", DEFAULT_CHAIN, 4, None, MEMORY),
    Goal("the same, 41k", "^optimizer phase mlp", CHAIN, 8, None, LOOK),
    Goal("the same", "^optimizer phase mlp", DEFAULT_CHAIN, 12, None, LOOK),
    Goal("5.7M and more", "^optimizer phase (gpt2|vit)", LIMIT, None, 0.95, LOOK),
)
NORMS = (
    Goal("LayerNorm", f"^layer_norm 12608x192 {FLOAT32}", BEST, 1.3, None, KERNEL),
    Goal("the same, larger", f"^layer_norm 4096x768 {FLOAT32}", BEST, 1.1, None, MEMORY),
    Goal("the same, larger", f"^layer_norm 65536x1024 {FLOAT32}", BEST, 1.7, None, MEMORY),
    Goal("all three", f"^layer_norm {LARGE} {FLOAT32}", LIMIT, None, 0.95, KERNEL),
    Goal("add + LayerNorm", f"^add_layer_norm 12608x192 {FLOAT32}", BEST, 1.3, None, MEMORY),
    Goal("the same, larger", f"^add_layer_norm 4096x768 {FLOAT32}", BEST, 1.5, None, MEMORY),
    Goal("the same, larger", f"^add_layer_norm 65536x1024 {FLOAT32}", BEST, 2, None, MEMORY),
    Goal("all three", f"^add_layer_norm {LARGE} {FLOAT32}", LIMIT, None, 0.95, KERNEL),
    Goal(
        "LayerNorm with its gradient", f"^layer_norm {LARGE} float32 {BOTH}", BEST, 1.1, None, LEFT
    ),
    Goal("the largest", f"^layer_norm 65536x1024 float32 {BOTH}", BEST, None, 2, MEMORY),
    Goal("add + LayerNorm with it", f"^add_layer_norm {LARGE} float32 {BOTH}", BEST, 1.2),
    Goal("the largest", f"^add_layer_norm 65536x1024 float32 {BOTH}", BEST, None, 2, MEMORY),
    Goal(
        "all of these in bfloat16",
        f"layer_norm {LARGE} bfloat16",
        BEST,
        2,
        2.8,
        f"{MEMORY}; {CALL}; {LEFT}",
    ),
    Goal("up to 256 rows, left to PyTorch", "layer_norm (32|256)x192", BEST, 1, None, CHOICE),
    Goal("RMSNorm with its gradient", "^(add_)?rms_norm", BEST, 1.5, 2, f"{MEMORY}; {CALL}"),
    Goal("dropout + add + norm with it", "^dropout", BEST, 5, 10, "random bits for each element"),
)
ATTENTION = (
    Goal("attention", f"{WHOLE} {FLOAT32}", BEST, 1.2, 1.6),
    Goal("the same in bfloat16", f"{WHOLE} bfloat16 {FORWARD}", BEST, 1.3, 2, PRODUCTS),
    Goal("heads of 128", f"D128 {FLOAT32}", BEST, 1, 1.6, PRODUCTS),
    Goal("the same in bfloat16", f"D128 bfloat16 {FORWARD}", BEST, 1.3, 2, PRODUCTS),
    Goal("attention with its gradient", f"^attention .*float32 {BOTH}", BEST, 1.15, 1.5),
    Goal(
        "the same in bfloat16, 1,024 and longer",
        rf"^attention (GPT|causal B1).* bfloat16 {BOTH}",
        SDPA,
        2.5,
        4,
        PRODUCTS,
    ),
    Goal("sequences of 197", "N197 ", BEST, 1.5, 2, PRODUCTS),
    Goal("sequences of 16 to 65", "N(16|32|64|65) ", BEST, 1, 1.3, PRODUCTS),
    Goal("windows and documents", f"{PARTS}.* {FORWARD}", BEST, 2, 3, PRODUCTS),
    Goal("the same with their gradient", f"{PARTS}.* {BOTH}", BEST, 4, 8, PRODUCTS),
    Goal(
        "masks, ALiBi, softcap, sinks, dropout, groups of heads, unequal lengths, decoding",
        FEATURES,
        BEST,
        1.2,
        2,
        PRODUCTS,
    ),
)
GOALS = ADAMW + NORMS + ATTENTION
