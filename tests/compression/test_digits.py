"""Published figures on the handwritten digits that ship with scikit-learn (spec of the layers: 64-256-256-10)."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from ailys.compression import ButterflyLinear, compress


def digits(seed):
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.3, stratify=labels, random_state=seed)
    train_x, test_x = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    train_y, test_y = (torch.tensor(p) for p in parts[2:])
    return train_x, train_y, test_x, test_y


def train(net, x, y, epochs, seed):
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return net


def accuracy(net, x, y):
    with torch.no_grad():
        return float((net(x).argmax(1) == y).double().mean())


def size(net):
    return sum(p.numel() for p in net.parameters())


def build(layer):
    return nn.Sequential(layer(64, 256), nn.ReLU(), layer(256, 256), nn.ReLU(), nn.Linear(256, 10))


@pytest.mark.slow
def test_monarch_from_scratch_and_projection_with_ten_epochs():
    scratch, tuned = [], []
    for seed in range(3):
        train_x, train_y, test_x, test_y = digits(seed)
        torch.manual_seed(seed)
        small = build(ButterflyLinear)
        assert size(small) == 14_346
        scratch.append(accuracy(train(small, train_x, train_y, 60, seed), test_x, test_y))
        dense = train(build(nn.Linear), train_x, train_y, 60, seed)
        assert size(dense) == 85_002
        projected = compress(dense, architecture="monarch:r=1", layers=["0", "2"])
        assert size(projected.model) == 14_346
        assert [round(layer.relative_error, 2) > 0.6 for layer in projected.layers] == [True, True]
        tuned.append(accuracy(train(projected.model, train_x, train_y, 10, seed), test_x, test_y))
    print("from scratch", np.round(scratch, 4), "projection and ten epochs", np.round(tuned, 4))
    assert np.mean(scratch) >= 0.97
    assert min(tuned) >= 0.955
