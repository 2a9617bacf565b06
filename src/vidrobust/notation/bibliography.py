"""The works that methods, attacks, supports and data sets come from, as BibTeX; whatever comes from one names its key.

A method names its works in :data:`vidrobust.notation.families.FAMILIES`, an attack in
:data:`vidrobust.attacks.ATTACKS`, a support in its class, a data set in the module of its layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A published work.

    Attributes:
        title: as published.
        authors: full names, in order.
        year: of publication; None where it has none.
        venue: the proceedings or the journal; empty for a report.
        arxiv: its number there, if that is where it is.
        kind: of BibTeX's entry: ``inproceedings``, ``article`` or ``misc``.
    """

    title: str
    authors: tuple[str, ...]
    year: int | None
    venue: str = ""
    arxiv: str = ""
    kind: str = "inproceedings"

    def bibtex(self, key: str) -> str:
        r"""The entry under a key.

        >>> print(WORKS["inkawhich2018"].bibtex("inkawhich2018"))
        @misc{inkawhich2018,
          title = {{Adversarial Attacks for Optical Flow-Based Action Recognition Classifiers}},
          author = {Nathan Inkawhich and Matthew Inkawhich and Yiran Chen and Hai Li},
          year = {2018},
          eprint = {1811.11875},
          archivePrefix = {arXiv},
        }
        """
        place = {"inproceedings": "booktitle", "article": "journal"}.get(self.kind, "howpublished")
        fields = [("title", f"{{{self.title}}}"), ("author", " and ".join(self.authors))]
        fields += [("year", str(self.year))] if self.year else []
        fields += [(place, self.venue)] if self.venue else []
        fields += [("eprint", self.arxiv), ("archivePrefix", "arXiv")] if self.arxiv else []
        return f"@{self.kind}{{{key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields) + "}"


def bibtex(keys: Iterable[str]) -> str:
    """The entries of works, each once, in the order of their first mention."""
    return "\n\n".join(WORKS[key].bibtex(key) for key in dict.fromkeys(keys))


def _preprint(title: str, authors: tuple[str, ...], year: int, arxiv: str) -> Work:
    return Work(title, authors, year, arxiv=arxiv, kind="misc")


_KINFU, _VIDAL = "Kaleab A. Kinfu", "René Vidal"
_CROCE, _HEIN = "Francesco Croce", "Matthias Hein"
_CARREIRA, _NOLAND, _HILLIER, _ZISSERMAN = "João Carreira", "Eric Noland", "Chloe Hillier", "Andrew Zisserman"
_DONG, _PANG, _SU, _ZHU = "Yinpeng Dong", "Tianyu Pang", "Hang Su", "Jun Zhu"
_LO_PATEL = ("Shao-Yuan Lo", "Vishal M. Patel")

WORKS: dict[str, Work] = {
    "vidrobust": Work(
        "vidrobust: adversarial attacks on, and adversarial training of, video classifiers",
        ("{vidrobust contributors}",), 2026, "Python package", kind="misc",
    ),
    "kinfu2022": _preprint(
        "Analysis and Extensions of Adversarial Training for Video Classification", (_KINFU, _VIDAL), 2022, "2206.07953"
    ),
    "kinfu_slides": Work(
        "Challenges on Adversarial Training for Videos", (_KINFU,), None,
        "Slides, Johns Hopkins University, github.com/kaleab-k/PGD", kind="misc",
    ),
    # ------------------------------------------------------------------------------------------------------ training
    "madry2018": Work(
        "Towards Deep Learning Models Resistant to Adversarial Attacks",
        ("Aleksander Madry", "Aleksandar Makelov", "Ludwig Schmidt", "Dimitris Tsipras", "Adrian Vladu"), 2018, "ICLR",
    ),
    "zhang2019": Work(
        "Theoretically Principled Trade-off between Robustness and Accuracy",
        ("Hongyang Zhang", "Yaodong Yu", "Jiantao Jiao", "Eric P. Xing", "Laurent El Ghaoui", "Michael I. Jordan"),
        2019, "ICML",
    ),
    "wang2020": Work(
        "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
        ("Yisen Wang", "Difan Zou", "Jinfeng Yi", "James Bailey", "Xingjun Ma", "Quanquan Gu"), 2020, "ICLR",
    ),
    "zhang2020": Work(
        "Attacks Which Do Not Kill Training Make Adversarial Learning Stronger",
        ("Jingfeng Zhang", "Xilie Xu", "Bo Han", "Gang Niu", "Lizhen Cui", "Masashi Sugiyama", "Mohan Kankanhalli"),
        2020, "ICML",
    ),
    "shafahi2019": Work(
        "Adversarial Training for Free!",
        ("Ali Shafahi", "Mahyar Najibi", "Amin Ghiasi", "Zheng Xu", "John Dickerson", "Christoph Studer",
         "Larry S. Davis", "Gavin Taylor", "Tom Goldstein"), 2019, "NeurIPS",
    ),
    "wong2020": Work(
        "Fast is better than free: Revisiting adversarial training",
        ("Eric Wong", "Leslie Rice", "J. Zico Kolter"), 2020, "ICLR",
    ),
    "dejorge2022": Work(
        "Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
        ("Pau de Jorge", "Adel Bibi", "Riccardo Volpi", "Amartya Sanyal", "Philip H. S. Torr", "Grégory Rogez",
         "Puneet K. Dokania"), 2022, "NeurIPS",
    ),
    "jin2019": Work(
        "APE-GAN: Adversarial Perturbation Elimination with GAN",
        ("Guoqing Jin", "Shiwei Shen", "Dongming Zhang", "Feng Dai", "Yongdong Zhang"), 2019, "ICASSP",
    ),
    "tramer2019": Work(
        "Adversarial Training and Robustness for Multiple Perturbations", ("Florian Tramèr", "Dan Boneh"), 2019,
        "NeurIPS",
    ),
    "lo2021": Work(
        "Defending Against Multiple and Unforeseen Adversarial Videos", _LO_PATEL, 2021,
        "IEEE Transactions on Image Processing", kind="article",
    ),
    "wu2020": Work(
        "Adversarial Weight Perturbation Helps Robust Generalization",
        ("Dongxian Wu", "Shu-Tao Xia", "Yisen Wang"), 2020, "NeurIPS",
    ),
    "izmailov2018": Work(
        "Averaging Weights Leads to Wider Optima and Better Generalization",
        ("Pavel Izmailov", "Dmitrii Podoprikhin", "Timur Garipov", "Dmitry Vetrov", "Andrew Gordon Wilson"), 2018,
        "UAI",
    ),
    "gowal2020": _preprint(
        "Uncovering the Limits of Adversarial Training against Norm-Bounded Adversarial Examples",
        ("Sven Gowal", "Chongli Qin", "Jonathan Uesato", "Timothy Mann", "Pushmeet Kohli"), 2020, "2010.03593",
    ),
    "gowal2018": _preprint(
        "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models",
        ("Sven Gowal", "Krishnamurthy Dvijotham", "Robert Stanforth", "Rudy Bunel", "Chongli Qin", "Jonathan Uesato",
         "Relja Arandjelovic", "Timothy Mann", "Pushmeet Kohli"), 2018, "1810.12715",
    ),
    "cohen2019": Work(
        "Certified Adversarial Robustness via Randomized Smoothing",
        ("Jeremy Cohen", "Elan Rosenfeld", "J. Zico Kolter"), 2019, "ICML",
    ),
    "salman2020": Work(
        "Denoised Smoothing: A Provable Defense for Pretrained Classifiers",
        ("Hadi Salman", "Mingjie Sun", "Greg Yang", "Ashish Kapoor", "J. Zico Kolter"), 2020, "NeurIPS",
    ),
    # ------------------------------------------------------------------------------------------------------- attacks
    "goodfellow2015": Work(
        "Explaining and Harnessing Adversarial Examples",
        ("Ian J. Goodfellow", "Jonathon Shlens", "Christian Szegedy"), 2015, "ICLR",
    ),
    "carlini2017": Work(
        "Towards Evaluating the Robustness of Neural Networks", ("Nicholas Carlini", "David Wagner"), 2017,
        "IEEE Symposium on Security and Privacy",
    ),
    "athalye2018": Work(
        "Obfuscated Gradients Give a False Sense of Security: Circumventing Defenses to Adversarial Examples",
        ("Anish Athalye", "Nicholas Carlini", "David Wagner"), 2018, "ICML",
    ),
    "athalye2018eot": Work(
        "Synthesizing Robust Adversarial Examples",
        ("Anish Athalye", "Logan Engstrom", "Andrew Ilyas", "Kevin Kwok"), 2018, "ICML",
    ),
    "inkawhich2018": _preprint(
        "Adversarial Attacks for Optical Flow-Based Action Recognition Classifiers",
        ("Nathan Inkawhich", "Matthew Inkawhich", "Yiran Chen", "Hai Li"), 2018, "1811.11875",
    ),
    "dong2018": Work(
        "Boosting Adversarial Attacks with Momentum",
        (_DONG, "Fangzhou Liao", _PANG, _SU, _ZHU, "Xiaolin Hu", "Jianguo Li"), 2018, "CVPR",
    ),
    "dong2019": Work(
        "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks",
        (_DONG, _PANG, _SU, _ZHU), 2019, "CVPR",
    ),
    "wei2022": Work(
        "Boosting the Transferability of Video Adversarial Examples via Temporal Translation",
        ("Zhipeng Wei", "Jingjing Chen", "Zuxuan Wu", "Yu-Gang Jiang"), 2022, "AAAI",
    ),
    "rony2019": Work(
        "Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses",
        ("Jérôme Rony", "Luiz G. Hafemann", "Luiz S. Oliveira", "Ismail Ben Ayed", "Robert Sabourin", "Eric Granger"),
        2019, "CVPR",
    ),
    "croce2020apgd": Work(
        "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks",
        (_CROCE, _HEIN), 2020, "ICML",
    ),
    "croce2020fab": Work(
        "Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack", (_CROCE, _HEIN), 2020, "ICML"
    ),
    "andriushchenko2020": Work(
        "Square Attack: a query-efficient black-box adversarial attack via random search",
        ("Maksym Andriushchenko", _CROCE, "Nicolas Flammarion", _HEIN), 2020, "ECCV",
    ),
    "chen2020": Work(
        "RayS: A Ray Searching Method for Hard-label Adversarial Attack", ("Jinghui Chen", "Quanquan Gu"), 2020, "KDD"
    ),
    "pintor2021": Work(
        "Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints",
        ("Maura Pintor", "Fabio Roli", "Wieland Brendel", "Battista Biggio"), 2021, "NeurIPS",
    ),
    # ------------------------------------------------------------------------------------------------------ supports
    "moosavi2017": Work(
        "Universal Adversarial Perturbations",
        ("Seyed-Mohsen Moosavi-Dezfooli", "Alhussein Fawzi", "Omar Fawzi", "Pascal Frossard"), 2017, "CVPR",
    ),
    "brown2017": _preprint(
        "Adversarial Patch",
        ("Tom B. Brown", "Dandelion Mané", "Aurko Roy", "Martín Abadi", "Justin Gilmer"), 2017, "1712.09665",
    ),
    "wei2019": Work(
        "Sparse Adversarial Perturbations for Videos", ("Xingxing Wei", _ZHU, "Sha Yuan", _SU), 2019, "AAAI"
    ),
    "zajac2019": Work(
        "Adversarial Framing for Image and Video Classification",
        ("Michał Zając", "Konrad Żołna", "Negar Rostamzadeh", "Pedro O. Pinheiro"), 2019, "AAAI",
    ),
    "pony2021": Work(
        "Over-the-Air Adversarial Flickering Attacks against Video Recognition Networks",
        ("Roi Pony", "Itay Naeh", "Shie Mannor"), 2021, "CVPR",
    ),
    "hwang2021": Work(
        "Just One Moment: Structural Vulnerability of Deep Action Recognition against One Frame Attack",
        ("Jaehui Hwang", "Jun-Hyuk Kim", "Jun-Ho Choi", "Jong-Seok Lee"), 2021, "ICCV",
    ),
    "lo2021multav": Work("MultAV: Multiplicative Adversarial Videos", _LO_PATEL, 2021, "AVSS"),
    # ---------------------------------------------------------------------------------------------------------- data
    "kuehne2011": Work(
        "HMDB: A Large Video Database for Human Motion Recognition",
        ("Hildegard Kuehne", "Hueihan Jhuang", "Estíbaliz Garrote", "Tomaso Poggio", "Thomas Serre"), 2011, "ICCV",
    ),
    "soomro2012": _preprint(
        "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild",
        ("Khurram Soomro", "Amir Roshan Zamir", "Mubarak Shah"), 2012, "1212.0402",
    ),
    "kay2017": _preprint(
        "The Kinetics Human Action Video Dataset",
        ("Will Kay", _CARREIRA, "Karen Simonyan", "Brian Zhang", _HILLIER, "Sudheendra Vijayanarasimhan", "Fabio Viola",
         "Tim Green", "Trevor Back", "Paul Natsev", "Mustafa Suleyman", _ZISSERMAN), 2017, "1705.06950",
    ),
    "carreira2018": _preprint(
        "A Short Note about Kinetics-600",
        (_CARREIRA, _NOLAND, "Andras Banki-Horvath", _HILLIER, _ZISSERMAN), 2018, "1808.01340",
    ),
    "carreira2019": _preprint(
        "A Short Note on the Kinetics-700 Human Action Dataset",
        (_CARREIRA, _NOLAND, _HILLIER, _ZISSERMAN), 2019, "1907.06987",
    ),
}  # fmt: skip
"""The works, by key."""

FOUNDATION = ("vidrobust", "kinfu2022")
"""What everything here rests on."""
