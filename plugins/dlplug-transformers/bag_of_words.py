"""What a linear model of word counts gets of the verses of `kjv_testaments_minilm.yaml`."""

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from dlplug.config import load
from dlplug.plugin import Registry


def main(config: str = "plugins/dlplug-transformers/kjv_testaments_minilm.yaml") -> None:
    """Fit on the training verses that the config's steps read; test on all test verses."""
    experiment = load([config], [], Registry.discover())
    data, trainer = experiment.datamodule, experiment.trainer_arguments
    data.setup("fit")
    data.setup("test")
    tokenizer = data.saved_tokenizer()

    def verses(loader, batches):
        texts, labels = [], []
        for _, (tokens, books) in zip(range(batches), loader, strict=False):
            texts += [tokenizer.decode(row) for row in tokens.tolist()]
            labels += books.tolist()
        return texts, torch.tensor(labels)

    texts, books = verses(data.train_dataloader(), int(trainer["limit_train_batches"]))
    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    inputs = counts.fit_transform(texts)
    test_texts, test_books = verses(data.test_dataloader(), len(data.test_dataloader()))
    test_inputs = counts.transform(test_texts)
    model = LogisticRegression(C=10, max_iter=200).fit(inputs, books)
    right = (model.predict(test_inputs) == test_books.numpy()).mean()
    print(f"{right:.3f} of {len(test_texts)} test verses right, after {len(texts)}")


if __name__ == "__main__":
    main()
