"""The full softmax: its gradient is autograd's, a step descends, windows and sub-sampling are word2vec's."""

import math

import numpy as np
import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.embeddings.full_softmax import FullSoftmax, Space, gradients, keep_chances, step, windows
from advgen.embeddings.vocabulary import BREAK

V, D, B = 30, 6, 5


def problem(dtype: type = np.float64):
    rng = np.random.default_rng(0)
    inputs, outputs = (rng.normal(size=(V, D)).astype(dtype) for _ in range(2))
    centres = np.array([3, 7, 3, 1, 29], dtype=np.int32)  # one of them twice
    rows = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4])
    contexts = np.array([2, 2, 5, 0, 9, 11, 29, 4, 2], dtype=np.int32)  # one context twice
    return inputs, outputs, centres, rows, contexts, Space(np.empty((B, V), dtype), np.empty((V, D), dtype))


def test_gradients_are_those_of_autograd():
    inputs, outputs, centres, rows, contexts, space = problem()
    loss, of_hidden, of_outputs = gradients(inputs[centres], outputs, rows, contexts, space)
    hidden, out = (torch.tensor(x, requires_grad=True) for x in (inputs[centres], outputs))
    expected = torch.nn.functional.cross_entropy((hidden @ out.T)[rows], torch.tensor(contexts).long(), reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(of_hidden, hidden.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(of_outputs, out.grad.numpy(), atol=1e-10)


def test_gradients_are_finite_differences():
    inputs, outputs, centres, rows, contexts, space = problem()
    _, of_hidden, of_outputs = (np.copy(x) for x in gradients(inputs[centres], outputs, rows, contexts, space))
    hidden = inputs[centres]
    for of, changed in ((of_hidden, hidden), (of_outputs, outputs)):
        for at in [(0, 0), (2, 5), (4, 3)]:
            losses = []
            for sign in (1, -1):
                changed[at] += sign * 1e-5
                losses.append(gradients(hidden, outputs, rows, contexts, space)[0])
                changed[at] -= sign * 1e-5
            assert of[at] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-6)


def test_a_step_moves_each_weight_by_rate_times_gradient_a_centre_that_comes_twice_by_both():
    inputs, outputs, centres, rows, contexts, space = problem()
    leaf_in, leaf_out = (torch.tensor(x.copy(), requires_grad=True) for x in (inputs, outputs))
    scores = leaf_in[torch.tensor(centres).long()] @ leaf_out.T
    torch.nn.functional.cross_entropy(scores[rows], torch.tensor(contexts).long(), reduction="sum").backward()
    step(inputs, outputs, centres, rows, contexts, 0.1, space)
    np.testing.assert_allclose(inputs, (leaf_in - 0.1 * leaf_in.grad).detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(outputs, (leaf_out - 0.1 * leaf_out.grad).detach().numpy(), atol=1e-10)


def test_every_word_is_in_the_softmax():
    """With equal weights every word has the same chance: the loss is ln V a context word."""
    rows, contexts = np.array([0, 1]), np.array([0, 5], dtype=np.int32)
    space = Space(np.empty((2, V), np.float32), np.empty((V, D), np.float32))
    zeros = np.zeros((V, D), np.float32)
    loss, _, of_outputs = gradients(np.ones((2, D), np.float32), zeros, rows, contexts, space)
    assert loss / 2 == pytest.approx(math.log(V), rel=1e-6)
    assert (of_outputs != 0).all()


def test_large_scores_do_not_overflow():
    inputs, outputs, centres, rows, contexts, space = problem(np.float32)
    loss, of_hidden, of_outputs = gradients(100 * inputs[centres], 100 * outputs, rows, contexts, space)
    assert math.isfinite(loss)
    assert np.isfinite(of_hidden).all()
    assert np.isfinite(of_outputs).all()


def test_without_sub_sampling_every_window_lies_in_its_sentence_and_has_all_widths():
    sentence = np.arange(12, dtype=np.int32)
    ids = np.concatenate([[*sentence, BREAK]] * 400 + [[20, BREAK]]).astype(np.int32)  # one word alone has no context
    centres, starts, contexts = windows(ids, np.ones(21), 3, 0)
    assert len(starts) == len(centres) + 1
    assert starts[-1] == len(contexts)
    widths = []
    for k, centre in enumerate(centres):
        around = contexts[starts[k] : starts[k + 1]]
        assert centre not in around
        width = np.abs(around - centre).max()
        expected = [c for c in range(centre - width, centre + width + 1) if 0 <= c < 12 and c != centre]
        assert sorted(around) == expected
        if 3 <= centre < 9:
            widths.append(width)
    shares = np.bincount(widths)[1:] / len(widths)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)


def test_sub_sampling_thins_frequent_words_as_word2vec_does():
    from gensim.models import Word2Vec as Model

    counts = {f"w{k}": 10_000 // (k + 1) for k in range(50)}
    model = Model(min_count=1, sample=1e-2, vector_size=4)
    model.build_vocab_from_freq(counts)
    theirs = [model.wv.get_vecattr(w, "sample_int") / (2**32 - 1) for w in counts]
    assert keep_chances(np.array(list(counts.values())), 1e-2) == pytest.approx(theirs, abs=1e-6)
    assert keep_chances(np.array([5, 5]), 0).tolist() == [1, 1]


@pytest.mark.parametrize("argument", [{"dim": 0}, {"window": 0}, {"batch": 0}, {"rate": 0.0}])
def test_bad_arguments_are_one_sentence(argument):
    with pytest.raises(BadArgument, match="must be"):
        FullSoftmax(**argument)
