"""What a linear model of word counts gets of the verses of `kjv_testaments_minilm.yaml`."""

from itertools import islice

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from dlplug.config import load
from dlplug.plugin import Registry


def main(config: str = "plugins/dlplug-transformers/kjv_testaments_minilm.yaml") -> None:
    """Fit on the training verses that the config reads; count what is right of the others."""
    experiment = load([config], [], Registry.discover())
    data, trainer = experiment.datamodule, experiment.trainer_arguments
    data.setup("fit")
    data.setup("test")
    tokenizer = data.saved_tokenizer()

    def verses(loader, batches=None):
        texts, labels = [], []
        for tokens, books in islice(loader, batches):
            texts += [tokenizer.decode(row) for row in tokens.tolist()]
            labels += books.tolist()
        return texts, np.array(labels)

    texts, books = verses(data.train_dataloader(), int(trainer["limit_train_batches"]))
    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    model = LogisticRegression(C=10, max_iter=200).fit(counts.fit_transform(texts), books)
    print(f"after {len(texts)} verses, right:")
    for split, loader in (("validation", data.val_dataloader()), ("test", data.test_dataloader())):
        texts, books = verses(loader)
        right = (model.predict(counts.transform(texts)) == books).mean()
        print(f"{right:.2%} of {len(texts)} {split} verses")


if __name__ == "__main__":
    main()
