import gc
import itertools
import math

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.benchmarks import crf as benchmark
from lecturekit.pixels import crf
from lecturekit.pixels._lattice import Gaussian, Lattice

WIDTHS = {"theta_alpha": 8.0, "theta_beta": 20.0, "theta_gamma": 1.5}


def photo(height=24, width=32):
    """A small photograph: every few pixels of a large one."""
    cat = skimage.data.chelsea()
    rows = np.linspace(0, cat.shape[0] - 1, height).round().astype(int)
    columns = np.linspace(0, cat.shape[1] - 1, width).round().astype(int)
    return cat[rows[:, None], columns]


def energies(shape, seed=0, scale=2.0):
    """-log p of random beliefs, each pixel its own."""
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale
    return -logits.log_softmax(-3)


def blobs(classes, height, width, seed=0):
    """The same with beliefs that are alike over a few pixels, as a network's are."""
    coarse = energies((1, classes, height // 6, width // 6), seed)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]


def loops(unary, image, *, w1, theta_alpha, theta_beta, w2, theta_gamma, iterations, symmetric, own, mu):
    """Mean field as the paper writes it: one pixel, one class and one neighbour at a time."""
    classes, height, width = unary.shape
    pixels = list(itertools.product(range(height), range(width)))

    def pair(i, j, theta, beta):
        distance = sum((a - b) ** 2 for a, b in zip(i, j, strict=True)) / theta**2
        if beta:
            distance += sum((float(image[i][c]) - float(image[j][c])) ** 2 for c in range(3)) / beta**2
        return math.exp(-distance / 2)

    k = {}
    for weight, theta, beta in ((w1, theta_alpha, theta_beta), (w2, theta_gamma, None)):
        total = {i: sum(pair(i, j, theta, beta) for j in pixels) for i in pixels}
        for i, j in itertools.product(pixels, pixels):
            norm = math.sqrt(total[i] * total[j]) if symmetric else 1
            k[i, j] = k.get((i, j), 0) + (weight * pair(i, j, theta, beta) / norm if own or i != j else 0)

    def normalised(score):
        powers = [math.exp(s - max(score)) for s in score]
        return [p / sum(powers) for p in powers]

    q = {i: normalised([-float(unary[c][i]) for c in range(classes)]) for i in pixels}
    for _ in range(iterations):
        old = dict(q)
        for i in pixels:
            cost = [
                sum(mu[c][other] * k[i, j] * old[j][other] for j in pixels for other in range(classes))
                for c in range(classes)
            ]
            q[i] = normalised([-float(unary[c][i]) - cost[c] for c in range(classes)])
    return torch.tensor([[[q[y, x][c] for x in range(width)] for y in range(height)] for c in range(classes)])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Several threads only get into each other's way on pictures as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- closed forms -----------------------------------------------------------------------------------------


def test_two_pixels_one_step():
    image = np.array([[[10, 20, 30], [13, 24, 30]]], np.uint8)  # colours 5 apart, positions 1 apart
    p = torch.tensor([[[0.8, 0.3]], [[0.2, 0.7]]])
    kernel = {"w1": 2.0, "theta_alpha": 2.0, "theta_beta": 10.0, "w2": 1.5, "theta_gamma": 1.0}
    k = 2 * math.exp(-1 / 8 - 25 / 200) + 1.5 * math.exp(-1 / 2)
    found = crf.exact_mean_field(
        -p.log(), image, iterations=1, normalisation="none", self_message=False, **kernel
    )
    for pixel, (mine, other) in enumerate(((0.8, 0.3), (0.3, 0.8))):
        odds = mine / (1 - mine) * math.exp(k * (other - (1 - other)))
        assert found[0, 0, pixel] == pytest.approx(odds / (1 + odds), rel=1e-5)


def test_two_pixels_converge_to_the_fixed_point():
    image = np.zeros((1, 2, 3), np.uint8)
    p = torch.tensor([[[0.6, 0.6]], [[0.4, 0.4]]], dtype=torch.float64)
    arguments = {"w1": 0.0, "w2": 1.0, "theta_gamma": 1e6, "normalisation": "none", "self_message": False}
    q = crf.exact_mean_field(-p.log(), image, iterations=200, **arguments)[0]
    # Both pixels alike: logit(q) = logit(0.6) + (2 q - 1).
    torch.testing.assert_close(q.logit(), torch.full_like(q, math.log(1.5)) + 2 * q - 1)


@pytest.mark.parametrize("exact", [False, True])
def test_no_weights_no_iterations_and_no_neighbours_leave_the_unary(exact):
    unary, image = energies((3, 6, 7)), photo(6, 7)
    expected = (-unary).softmax(0)
    for arguments in (
        {"w1": 0.0, "w2": 0.0},
        {"iterations": 0},
        {"theta_alpha": 0.05, "theta_gamma": 0.05, "self_message": False},
        {"theta_alpha": 0.05, "theta_gamma": 0.05, "self_message": False, "normalisation": "none"},
    ):
        torch.testing.assert_close(crf.mean_field(unary, image, exact=exact, **arguments), expected)


@pytest.mark.parametrize("exact", [False, True])
def test_a_lonely_pixel_hears_only_itself(exact):
    unary = energies((3, 1, 1))
    q = crf.mean_field(unary, photo(1, 1), iterations=1, exact=exact, w1=2.0, w2=1.0)
    torch.testing.assert_close(q, (3 * (-unary).softmax(0) - unary).softmax(0))
    alone = crf.mean_field(unary, photo(1, 1), exact=exact, self_message=False)
    torch.testing.assert_close(alone, (-unary).softmax(0))


# --- exact against loops ----------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("potts", [True, False])
def test_exact_is_the_paper(symmetric, own, potts):
    unary, image = energies((3, 3, 4), seed=1).double(), photo(3, 4)
    mu = 1 - torch.eye(3) if potts else torch.tensor([[0.3, 1, 2], [1, 0, 0.5], [2, 0.5, 0.1]])
    kernel = {
        "w1": 1.5,
        "theta_alpha": 2.0,
        "theta_beta": 30.0,
        "w2": 0.7,
        "theta_gamma": 1.0,
        "iterations": 3,
    }
    expected = loops(unary, image, symmetric=symmetric, own=own, mu=mu.tolist(), **kernel)
    found = crf.exact_mean_field(
        unary,
        image,
        compatibility=None if potts else mu,
        normalisation="symmetric" if symmetric else "none",
        self_message=own,
        **kernel,
    )
    torch.testing.assert_close(found, expected.double(), rtol=0, atol=1e-6)


def test_step_with_a_matrix_is_mean_field():
    unary, image = energies((4, 6, 5)), photo(6, 5)
    kernel = crf.kernel_matrix(image, self_message=False, **WIDTHS)
    assert kernel.shape == (30, 30)
    torch.testing.assert_close(kernel.diagonal(), torch.zeros(30))
    torch.testing.assert_close(kernel, kernel.T)
    rows = unary.flatten(1).T
    q = (-rows).softmax(-1)
    for _ in range(4):
        q = crf.mean_field_step(q, rows, kernel)
    found = crf.exact_mean_field(unary, image, iterations=4, self_message=False, **WIDTHS)
    torch.testing.assert_close(q.T.reshape(4, 6, 5), found)


def test_potts_is_the_matrix_of_ones_off_the_diagonal():
    unary, image = energies((4, 6, 5)), photo(6, 5)
    matrix = 1 - np.eye(4, dtype=np.float32)
    expected = crf.mean_field(unary, image, **WIDTHS)
    torch.testing.assert_close(crf.mean_field(unary, image, compatibility=matrix, **WIDTHS), expected)


# --- the lattice against the matrix -----------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 60), st.integers(1, 3), st.integers(0, 10**6))
def test_lattice_is_a_matrix_with_its_diagonal(d, points, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    lattice = Lattice(torch.randn(batch, points, d, generator=generator) * 3)
    lattice.scale(torch.rand(batch, points, generator=generator) + 0.5)
    matrix = lattice @ torch.eye(points, dtype=torch.float64).expand(batch, -1, -1)
    assert (matrix >= 0).all()
    torch.testing.assert_close(
        lattice.diagonal(), matrix.diagonal(dim1=1, dim2=2).float(), rtol=1e-5, atol=1e-6
    )
    values = torch.randn(batch, points, 4, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(lattice @ values, matrix @ values)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_lattice_is_a_gaussian_where_the_space_is_full(d):
    # In a space filled evenly, row sums in the middle are those of the Gaussian but for the share of its mass
    # that the blur keeps: (3/2)^(d/2) 2^(d+1) / ((1 + 2^-d) sqrt(d+1)) of (2 pi)^(d/2).
    generator = torch.Generator().manual_seed(0)
    features = (torch.rand(1, 6000 if d < 5 else 20000, d, generator=generator) - 0.5) * (10 if d < 3 else 5)
    middle = torch.zeros(1, 1, d)
    features = torch.cat([middle, features], dim=1)
    ones = torch.ones_like(features[:, :, :1])
    found, true = (Lattice(features) @ ones)[0, 0, 0], (Gaussian(features[:, :1]).matrix.sum() - 1)
    true = true + torch.exp(-features.square().sum(2) / 2).sum()
    share = 1.5 ** (d / 2) * 2 ** (d + 1) / (1 + 2.0**-d) / math.sqrt(d + 1) / (2 * math.pi) ** (d / 2)
    assert found / true == pytest.approx(share, rel=0.12)


@pytest.mark.parametrize("normalisation", ["symmetric", "none"])
@pytest.mark.parametrize("self_message", [True, False])
def test_lattice_agrees_with_exact(normalisation, self_message):
    image = photo(32, 40)
    weights = {"w1": 4.0, "w2": 3.0} if normalisation == "symmetric" else {"w1": 0.05, "w2": 0.1}
    kernel = {"normalisation": normalisation, "self_message": self_message, **weights, **WIDTHS}
    fast, exact = crf.Pairwise(image, **kernel), crf.Pairwise(image, exact=True, **kernel)
    for seed in range(4):
        unary = blobs(5, 32, 40, seed)
        a, b = crf.mean_field(unary, fast), crf.mean_field(unary, exact)
        changed = (b.argmax(0) != unary.argmin(0)).float().mean()
        assert changed > 0.05  # the CRF has something to do
        assert (a - b).abs().mean() < 0.03
        assert (a.argmax(0) != b.argmax(0)).float().mean() < 0.04


# --- against the C++ library ------------------------------------------------------------------------------


def library(unary, image, *, theta_alpha, theta_beta, theta_gamma, w1, w2, iterations=10):
    """pydensecrf2, symmetric normalisation."""
    densecrf = pytest.importorskip(
        "pydensecrf.densecrf", reason="pydensecrf2 has to be compiled; not installed"
    )
    classes, height, width = unary.shape
    model = densecrf.DenseCRF2D(width, height, classes)
    model.setUnaryEnergy(np.ascontiguousarray(unary.numpy().reshape(classes, -1)))
    model.addPairwiseGaussian(sxy=theta_gamma, compat=w2)
    model.addPairwiseBilateral(sxy=theta_alpha, srgb=theta_beta, rgbim=np.ascontiguousarray(image), compat=w1)
    return torch.from_numpy(np.array(model.inference(iterations)).reshape(classes, height, width))


@pytest.mark.parametrize(("theta_alpha", "theta_beta"), [(80, 13), (50, 3), (20, 5)])
@pytest.mark.parametrize("classes", [2, 21])
def test_same_answer_as_the_library(theta_alpha, theta_beta, classes):
    # (a number of pixels divisible by four: for others the library adds points at the origin)
    image, unary = photo(90, 120), blobs(classes, 90, 120)
    kernel = {"theta_alpha": theta_alpha, "theta_beta": theta_beta, "theta_gamma": 3, "w1": 10.0, "w2": 3.0}
    expected = library(unary, image, **kernel)
    found = crf.mean_field(unary, image, **kernel)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (found.argmax(0) != unary.argmin(0)).float().mean() > 0.1


def test_as_close_to_the_exact_answer_as_the_library():
    kernel = {"theta_alpha": 20, "theta_beta": 10, "theta_gamma": 2, "w1": 6.0, "w2": 2.0}
    image = photo(48, 60)
    for seed in range(3):
        unary = blobs(4, 48, 60, seed)
        exact = crf.exact_mean_field(unary, image, **kernel)
        ours = (crf.mean_field(unary, image, **kernel) - exact).abs().mean()
        theirs = (library(unary, image, **kernel) - exact).abs().mean()
        assert ours <= theirs + 1e-5


# --- symmetries and batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("normalisation", ["symmetric", "none"])
def test_a_batch_is_its_pictures(exact, normalisation):
    images = [photo(12, 16), photo(12, 16)[:, ::-1], np.full((12, 16, 3), 200, np.uint8)]
    unary = energies((3, 4, 12, 16))
    arguments = {"exact": exact, "normalisation": normalisation, "self_message": False, "w1": 0.5, **WIDTHS}
    singles = torch.stack([crf.mean_field(u, i, **arguments) for u, i in zip(unary, images, strict=True)])
    for batch in (images, np.stack(images), torch.from_numpy(np.stack(images))):
        torch.testing.assert_close(crf.mean_field(unary, batch, **arguments), singles, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [Gaussian, Lattice])
@pytest.mark.parametrize("normalisation", ["symmetric", "none"])
@pytest.mark.parametrize("self_message", [True, False])
def test_pictures_worked_on_together(kind, normalisation, self_message):
    # On a CPU a batch is done picture by picture; a GPU does what is done here.
    images = torch.from_numpy(np.stack([photo(12, 16), 255 - photo(12, 16)])).float()
    widths = {"theta_alpha": 8.0, "theta_beta": 20.0, "theta_gamma": 1.5}
    both, first, second = (
        crf._stacked(group, widths, kind, normalisation, self_message).weighted(2.0, 1.0)
        for group in (images, images[:1], images[1:])
    )
    q = energies((2, 4, 12, 16)).flatten(2).mT.contiguous()
    torch.testing.assert_close(both @ q, torch.cat([first @ q[:1], second @ q[1:]]))


def test_reuse_gives_the_same_answer_for_any_weights_and_classes():
    image = photo()
    pairwise = crf.Pairwise(image, **WIDTHS)
    for classes, w1, w2 in ((2, 4.0, 3.0), (21, 1.0, 0.0), (2, 0.0, 2.0)):
        unary = energies((classes, 24, 32), seed=classes)
        expected = crf.mean_field(unary, image, w1=w1, w2=w2, **WIDTHS)
        for _ in range(2):
            assert torch.equal(crf.mean_field(unary, pairwise.weighted(w1, w2)), expected)
    alone = crf.mean_field(unary, image, self_message=False, **WIDTHS)
    lonely = crf.Pairwise(image, self_message=False, **WIDTHS)
    assert torch.equal(crf.mean_field(unary, lonely.weighted(4.0, 3.0)), alone)
    assert not torch.equal(crf.mean_field(unary, pairwise), alone)


def test_same_twice():
    unary, image = energies((4, 24, 32)), photo()
    assert torch.equal(crf.mean_field(unary, image), crf.mean_field(unary, image))


def test_classes_may_be_renamed_and_energies_shifted():
    unary, image, order = energies((5, 24, 32)), photo(), torch.tensor([3, 1, 4, 0, 2])
    q = crf.mean_field(unary, image, **WIDTHS)
    torch.testing.assert_close(crf.mean_field(unary[order], image, **WIDTHS), q[order], rtol=0, atol=1e-5)
    shift = torch.randn(24, 32)  # the same for all classes of a pixel
    torch.testing.assert_close(crf.mean_field(unary + shift, image, **WIDTHS), q, rtol=0, atol=1e-4)


def test_exact_answer_turns_with_the_picture():
    unary, image = energies((3, 10, 12)), photo(10, 12)
    turned = crf.exact_mean_field(unary.transpose(1, 2), image.transpose(1, 0, 2), **WIDTHS)
    torch.testing.assert_close(turned.transpose(1, 2), crf.exact_mean_field(unary, image, **WIDTHS))


# --- unusual pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (2, 3)])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("self_message", [False, True])
def test_thin_pictures(shape, exact, self_message):
    q = crf.mean_field(energies((3, *shape)), photo(*shape), exact=exact, self_message=self_message)
    torch.testing.assert_close(q.sum(0), torch.ones(shape))


def test_one_colour_smooths_noise_away():
    truth = torch.zeros(30, 40, dtype=torch.long)
    noisy = truth.clone()
    noisy.view(-1)[torch.randperm(1200, generator=torch.Generator().manual_seed(0))[:200]] = 1
    for level in (0, 128, 255):
        image = np.full((30, 40, 3), level, np.uint8)
        assert torch.equal(crf.refine(noisy, image), truth.to(torch.uint8))


def test_pixels_of_an_own_colour_keep_their_label_only_if_they_hear_themselves():
    image = np.zeros((15, 15, 3), np.uint8)
    image[7, 7] = 255
    unary = torch.full((2, 15, 15), -math.log(0.4))
    unary[0] = -math.log(0.6)
    unary[:, 7, 7] = unary[:, 7, 7].flip(0)
    kernel = {"w1": 4.0, "w2": 0.0, "theta_alpha": 30.0, "theta_beta": 5.0}
    for exact in (False, True):
        keeps = crf.mean_field(unary, image, exact=exact, **kernel)[1, 7, 7]
        hears = crf.mean_field(unary, image, exact=exact, self_message=False, **kernel)[1, 7, 7]
        assert keeps > 0.9
        assert hears == pytest.approx(0.6, abs=1e-4)


def test_300_classes():
    q = crf.mean_field(energies((300, 12, 16)), photo(12, 16))
    assert q.shape == (300, 12, 16)
    torch.testing.assert_close(q.sum(0), torch.ones(12, 16))


def test_extreme_energies_stay_finite():
    unary = torch.zeros(3, 8, 9)
    unary[0], unary[1, :4] = 1e30, -1e30
    q = crf.mean_field(unary, photo(8, 9), w1=1e6, w2=1e6)
    assert q.isfinite().all()
    assert (q[1, :4] == 1).all()


# --- types, devices, gradients ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_floats(dtype):
    unary, image = energies((3, 12, 16)).to(dtype), photo(12, 16)
    q = crf.mean_field(unary, image, **WIDTHS)
    assert q.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(q.float(), crf.mean_field(unary.float(), image, **WIDTHS), rtol=0, atol=1e-5)


def test_arrays_tensors_floats_and_views_of_the_same_picture():
    unary, image = energies((3, 12, 16)), photo(12, 16)
    expected = crf.mean_field(unary, image)
    read_only = image.copy()
    read_only.flags.writeable = False
    same = (torch.from_numpy(image), image.astype(np.float64), torch.from_numpy(image).half(), read_only)
    for picture in (*same, image[::-1][::-1], image.astype(np.int64), [image]):
        assert torch.equal(crf.mean_field(unary, picture), expected)
    assert torch.equal(crf.mean_field(unary.numpy(), image), expected)


def test_gradients_flow_to_the_unary():
    pairwise = crf.Pairwise(photo(4, 5), **WIDTHS)
    unary = energies((2, 4, 5)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda u: crf.mean_field(u, pairwise, iterations=2), unary)
    alone = crf.Pairwise(photo(4, 5), self_message=False, **WIDTHS)
    assert torch.autograd.gradcheck(lambda u: crf.mean_field(u, alone, iterations=1), unary)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_gives_the_answer_of_the_cpu():
    unary, image = energies((2, 5, 24, 32)), np.stack([photo(), photo()[::-1]])
    expected = crf.mean_field(unary, image)
    for picture in (image, torch.from_numpy(image).cuda()):
        found = crf.mean_field(unary.cuda(), picture)
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-3)


def test_nothing_is_kept():
    def run():
        return crf.refine(np.eye(12, dtype=np.uint8), photo(12, 12), iterations=2)

    def tensors():
        gc.collect()
        return sum(type(thing) is torch.Tensor for thing in gc.get_objects())

    run()
    before = tensors()
    for _ in range(5):
        run()
    assert tensors() == before


# --- energy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("potts", [True, False])
def test_energy_is_the_sum_over_pairs(own, potts):
    unary, image = energies((3, 3, 4)), photo(3, 4)
    mu = 1 - torch.eye(3) if potts else torch.tensor([[0.3, 1, 2], [1, 0, 0.5], [2, 0.5, 0.1]])
    k = crf.kernel_matrix(image, **WIDTHS)
    labels = np.arange(12).reshape(3, 4) % 3
    flat = labels.ravel()
    expected = sum(unary.flatten(1)[label, i] for i, label in enumerate(flat))
    expected += sum(mu[flat[i], flat[j]] * k[i, j] for i, j in itertools.combinations(range(12), 2))
    matrix = None if potts else mu
    found = crf.energy(labels, unary, image, compatibility=matrix, exact=True, self_message=own, **WIDTHS)
    torch.testing.assert_close(found, expected)
    assert found.shape == ()


def test_energy_with_a_pairwise():
    labels, unary, image = np.zeros((3, 4), np.uint8), energies((2, 3, 4)), photo(3, 4)
    expected = crf.energy(labels, unary, image, compatibility=torch.eye(2))
    lonely = crf.Pairwise(image, self_message=False)
    torch.testing.assert_close(crf.energy(labels, unary, lonely, compatibility=torch.eye(2)), expected)
    with pytest.raises(ValueError, match="self_message=False"):
        crf.energy(labels, unary, crf.Pairwise(image), compatibility=torch.eye(2))


def test_mean_field_finds_a_better_map_than_the_unary():
    unary, image = energies((2, 4, 12, 16)), np.stack([photo(12, 16)] * 2)
    pairwise = crf.Pairwise(image, **WIDTHS)
    before = crf.energy(unary.argmin(1), unary, pairwise)
    after = crf.energy(crf.mean_field(unary, pairwise).argmax(1), unary, pairwise)
    assert before.shape == (2,)
    assert (after < before).all()


# --- labels and probabilities -----------------------------------------------------------------------------


def test_unary_from_labels():
    labels = np.array([[0, 2], [255, 1]], np.uint8)
    p = (-crf.unary_from_labels(labels, 3, confidence=0.8)).exp()
    torch.testing.assert_close(p[:, 0, 1], torch.tensor([0.1, 0.1, 0.8]))
    torch.testing.assert_close(p[:, 1, 0], torch.full((3,), 1 / 3))
    sure = np.array([[0.5, 0.6], [0.7, 0.9]])
    p = (-crf.unary_from_labels(labels, 3, confidence=sure)).exp()
    torch.testing.assert_close(p[:, 1, 1], torch.tensor([0.05, 0.9, 0.05]))
    assert not crf.unary_from_labels(np.zeros((2, 2), np.uint8), 1).isnan().any()


def test_unary_from_probabilities_is_minus_log_p_and_finite():
    p = torch.tensor([[[0.25, 1.0]], [[0.75, 0.0]]])
    u = crf.unary_from_probabilities(p)
    torch.testing.assert_close(u[:, 0, 0], -p[:, 0, 0].log())
    assert u[1, 0, 1] == pytest.approx(-math.log(crf.FLOOR))
    assert crf.unary_from_probabilities(p.bfloat16()).dtype == torch.float32
    with pytest.raises(ValueError, match=r"softmax"):
        crf.unary_from_probabilities(torch.randn(3, 4, 4) * 3)
    with pytest.raises(ValueError, match="NaN"):
        crf.unary_from_probabilities(p * math.nan)
    with pytest.raises(TypeError, match="floats"):
        crf.unary_from_probabilities(torch.ones(2, 3, 3, dtype=torch.long))


def two_halves():
    """A picture with an edge after column 20, and labels whose boundary is three columns off."""
    image = np.full((30, 40, 3), 60, np.uint8)
    image[:, 20:] = (190, 170, 150)
    truth = np.zeros((30, 40), np.uint8)
    truth[:, 20:] = 7
    return image, truth, np.roll(truth, 3, axis=1)


def test_refine_moves_the_boundary_to_the_edge():
    image, truth, shifted = two_halves()
    found = crf.refine(shifted, image)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.uint8
    assert np.array_equal(found, truth)
    as_tensor = crf.refine(torch.from_numpy(shifted)[None], crf.Pairwise(image))
    assert torch.equal(as_tensor, torch.from_numpy(truth)[None])


def test_refine_fills_what_is_unknown():
    image, truth, _ = two_halves()
    labels = np.full_like(truth, 255)
    labels[10:20, 5:10], labels[10:20, 30:35] = 0, 7
    assert np.array_equal(crf.refine(labels, image, confidence=0.9), truth)
    nothing = np.full_like(truth, 255)
    assert np.array_equal(crf.refine(nothing, image), nothing)
    assert np.array_equal(crf.refine(np.full_like(truth, 9), image), np.full_like(truth, 9))


def test_refine_takes_probabilities():
    image, truth, shifted = two_halves()
    p = torch.where(torch.from_numpy(shifted == 7), 0.7, 0.3)
    found = crf.refine(torch.stack([1 - p, p]).requires_grad_(), image)
    assert torch.equal(found, torch.from_numpy(truth == 7).to(torch.uint8))
    with pytest.raises(ValueError, match="classes"):
        crf.refine(torch.full((256, 4, 4), 1 / 256), photo(4, 4))


# --- bad arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"image": np.full((4, 5, 3), np.nan)}, ValueError, "image.*NaN"),
        ({"image": np.full((4, 5, 3), np.inf)}, ValueError, "image.*0..255"),
        ({"image": np.full((4, 5, 3), -1.0)}, ValueError, "image.*0..255"),
        ({"image": np.full((4, 5, 3), 0.5)}, ValueError, "multiply it by 255"),
        ({"image": np.zeros((4, 5), np.uint8)}, ValueError, r"image.*RGB.*\(4, 5\)"),
        ({"image": np.zeros((4, 5, 4), np.uint8)}, ValueError, "image.*RGB"),
        ({"image": np.zeros((0, 5, 3), np.uint8)}, ValueError, "image.*RGB"),
        ({"image": np.zeros((5, 4, 3), np.uint8)}, ValueError, r"image must be \(1, 4, 5\)"),
        ({"image": [photo(4, 5), photo(5, 4)]}, ValueError, "one size"),
        ({"image": []}, ValueError, "one size"),
        ({"image": "cat.png"}, TypeError, "image.*str"),
        (
            {"image": photo(130, 130), "unary": torch.zeros(2, 130, 130), "exact": True},
            ValueError,
            "100 x 100",
        ),
        ({"unary": torch.zeros(2, 4, 5, dtype=torch.long)}, TypeError, "unary.*int64"),
        ({"unary": torch.full((2, 4, 5), math.nan)}, ValueError, "unary.*finite"),
        ({"unary": torch.full((2, 4, 5), math.inf)}, ValueError, "unary.*finite"),
        ({"unary": torch.zeros(4, 5)}, ValueError, "unary.*K, H, W"),
        ({"unary": torch.zeros(0, 4, 5)}, ValueError, "unary.*K, H, W"),
        ({"unary": torch.zeros(2, 2, 4, 5)}, ValueError, r"image must be \(2, 4, 5\)"),
        ({"unary": [[1.0]]}, TypeError, "unary.*list"),
        ({"iterations": -1}, ValueError, "iterations.*-1"),
        ({"iterations": 2.5}, ValueError, "iterations.*2.5"),
        ({"iterations": True}, ValueError, "iterations.*True"),
        ({"w1": "much"}, ValueError, "w1.*much"),
        ({"w1": -1.0}, ValueError, "w1.*-1"),
        ({"w2": math.nan}, ValueError, "w2.*nan"),
        ({"theta_alpha": 0.0}, ValueError, "theta_alpha.*0"),
        ({"theta_beta": math.inf}, ValueError, "theta_beta.*inf"),
        ({"theta_gamma": -3}, ValueError, "theta_gamma.*-3"),
        ({"theta_beta": 1e-4, "theta_alpha": 1e-4}, ValueError, "too small"),
        ({"normalisation": "mean"}, ValueError, "normalisation.*mean"),
        ({"compatibility": torch.zeros(3, 3)}, ValueError, r"compatibility.*\(2, 2\)"),
        ({"compatibility": torch.tensor([[0.0, 1], [2, 0]])}, ValueError, "compatibility.*symmetric"),
        ({"compatibility": torch.full((2, 2), math.nan)}, ValueError, "compatibility.*finite"),
        ({"theta_delta": 3.0}, TypeError, "theta_delta"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    arguments = {"unary": torch.zeros(2, 4, 5), "image": photo(4, 5)} | change
    with pytest.raises(error, match=words):
        crf.mean_field(arguments.pop("unary"), arguments.pop("image"), **arguments)


def test_bad_use_of_a_pairwise():
    pairwise = crf.Pairwise(photo(4, 5))
    with pytest.raises(TypeError, match=r"theta_beta"):
        crf.mean_field(torch.zeros(2, 4, 5), pairwise, theta_beta=5.0)
    with pytest.raises(ValueError, match=r"\(1, 5, 4\)"):
        crf.mean_field(torch.zeros(2, 5, 4), pairwise)
    with pytest.raises(ValueError, match="w1"):
        pairwise.weighted(-1.0, 1.0)
    with pytest.raises(ValueError, match="one image"):
        crf.kernel_matrix(np.zeros((2, 4, 5, 3), np.uint8))


@pytest.mark.parametrize("image", [np.eye(12, dtype=np.uint8), np.ones((12, 12), np.uint8)])
def test_a_dark_uint8_image_is_an_image(image):
    image = np.repeat(image[:, :, None], 3, 2)
    unary = energies((2, 12, 12))
    expected = crf.mean_field(unary, crf.Pairwise(image, **WIDTHS))
    for same in (image, [image], torch.from_numpy(image)):
        assert torch.equal(crf.mean_field(unary, same, **WIDTHS), expected)
    assert crf.refine(image[..., 0], image, **WIDTHS).dtype == np.uint8


def test_confidence_never_speaks_against_its_label():
    labels = np.arange(4, dtype=np.uint8)[:, None].repeat(5, 1)  # four classes
    for confidence in (0.24, np.full(labels.shape, 0.24), 0.0):
        with pytest.raises(ValueError, match=r"confidence must be below 1 and at least 0\.25 for 4 classes"):
            crf.refine(labels, photo(4, 5), confidence=confidence)
    assert crf.unary_from_labels(labels, 4, confidence=0.25).std() == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(crf.refine(labels, photo(4, 5), confidence=0.26, w1=0, w2=0), labels)
    assert not crf.refine(np.zeros((4, 5), np.uint8), photo(4, 5), confidence=0.1).any()  # one class alone


def test_numbers_of_numpy_are_numbers():
    unary, image = energies((2, 6, 7)), photo(6, 7)
    options = {"iterations": np.int64(2), "w1": np.float32(2), "theta_alpha": np.int32(5)}
    expected = crf.mean_field(unary, image, iterations=2, w1=2.0, theta_alpha=5.0)
    torch.testing.assert_close(crf.mean_field(unary, image, **options), expected)
    assert crf.unary_from_labels(np.zeros((2, 2), np.uint8), np.uint8(3)).shape == (3, 2, 2)


def test_an_image_that_requires_grad_gets_none():
    unary, image = energies((2, 6, 7)).requires_grad_(), torch.from_numpy(photo(6, 7)).float()
    crf.mean_field(unary, image.requires_grad_(), **WIDTHS).square().sum().backward()
    assert image.grad is None
    assert unary.grad.abs().sum() > 0
    probabilities = (-unary).softmax(0)
    assert crf.refine(probabilities, image, **WIDTHS).dtype == torch.uint8


def test_a_pairwise_multiplies_arrays_and_names_what_it_cannot():
    pairwise, q = crf.Pairwise(photo(4, 5)), energies((1, 20, 3))
    torch.testing.assert_close(pairwise @ q.numpy(), pairwise @ q)
    for wrong in (q[0], q[:, :19], q.long(), q.expand(2, -1, -1)):
        with pytest.raises(ValueError, match=r"q must be floats \(1, 20, K\)"):
            pairwise @ wrong
    with pytest.raises(TypeError, match="q must be"):
        pairwise @ [[1.0]]


def test_bad_labels():
    labels, image = np.zeros((4, 5), np.uint8), photo(4, 5)
    with pytest.raises(ValueError, match="confidence"):
        crf.refine(labels, image, confidence=1.0)
    with pytest.raises(ValueError, match="confidence"):
        crf.unary_from_labels(labels, 2, confidence=np.full((5, 4), 0.5))
    with pytest.raises(TypeError, match=r"labels.*bool"):
        crf.refine(labels == 0, image)
    with pytest.raises(ValueError, match=r"labels.*300"):
        crf.refine(labels.astype(int) + 300, image)
    with pytest.raises(ValueError, match=r"0\.\.1.*got 2"):
        crf.unary_from_labels(labels + 2, 2)
    with pytest.raises(ValueError, match="classes"):
        crf.unary_from_labels(labels, 0)
    with pytest.raises(ValueError, match=r"labels must be in 0[.][.]1, got 255"):
        crf.energy(labels + 255, torch.zeros(2, 4, 5), image)
    with pytest.raises(ValueError, match=r"labels must be \(4, 5\)"):
        crf.energy(labels.T, torch.zeros(2, 4, 5), image)


# --- benchmark --------------------------------------------------------------------------------------------


def test_benchmark_prints_its_tables(monkeypatch):
    monkeypatch.setattr(benchmark, "_has_library", lambda: False)
    table = benchmark.run(rounds=1, size=(24, 32), classes=3, batch=2, small=(12, 16))
    assert "pydensecrf2 is not installed" in table
    assert "| 80, 13 | cpu | lecturekit, lattice built |" in table
    assert all(words in table for words in ("lattice reused", "2 at once", "| chelsea | lecturekit |"))
