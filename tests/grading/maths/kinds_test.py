r"""Spellings of answers by kind: what equals a gold answer, and what does not.

Beside the rows of math_policy.md: those state each rule once, these try the
variants in which people and models write one thing.
"""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.grading.math_answer import MathGrader

# Of each kind: (gold, answers that are right, answers that are wrong).
KINDS = {
    "styles": (
        (
            "-5",
            (
                r"\emph{-5}", r"\mathbf{-5}", r"\mathbf{-}5", r"\text{-}5",
                r"\color{blue}{-5}", r"\textcolor{red}{-5}", r"\mathrm{-5}",
                r"\displaystyle -5", r"{\Large -5}", r"\left(-5\right)",
                r"\,-5\,", r"\hphantom{1}-5", r"-\,5", r"\mathtt{-5}",
            ),
            (
                r"\phantom{-}5", r"\color{red}{5}",
                r"\colorbox{red}{5}", r"\not-5", r"-\hat{5}",
                r"\sout{-5}", r"\text{not }-5",
            ),
        ),
        (
            r"\frac{1}{2}",
            (
                r"\sfrac{1}{2}", r"1\over2", r"\left.\frac12\right.",
                r"\displaystyle\frac{1}{2}", r"\frac{\,1\,}{2}", r"\frac12\,",
                r"\\dfrac{1}{2}", r"\frac{1}{2}\\",
            ),
            (r"\frac{2}{1}", r"2\over1", r"\sfrac{12}{}", r"\binom{1}{2}"),
        ),
    ),
    "Unicode": (
        ("-5", ("‐5", "﹣5", "—5", "−5", "－5", "‑5"), ("0–5", "5−", "~5")),
        (
            "12",
            ("１２", "𝟏𝟐", "\u200b12", "12\ufeff", "1\u20602", "12\u00a0"),
            ("1½", "1²", "⑫", "\u202e12", "1\u0662"),
        ),
        ("1000", ("1\u202f000", "1\u2009000", "1，000"), ("1、000", "1。000")),
        (r"\frac{3}{4}", ("¾", "3⁄4", "3∕4"), ("¼", "3¼")),
        (r"\frac{5}{2}", ("2½", "2 ½"), ("½2", "21⁄2")),
        ("x^{23}+1", ("x²³+1", "x^23+1", "1+x²³"), ("x²+3", "x₂₃+1")),
        (r"\sqrt{x+1}", ("√(x+1)", "√(1+x)"), ("√x+1",)),
        (r"\sqrt[3]{2}", ("∛2", "2^{1/3}"), ("√2", "3√2")),
        (r"\theta", ("θ", r"\theta"), ("φ", "0")),
        (r"[2,\infty)", ("[2,∞)", "x≥2", "x⩾2"), ("(2,∞)", "x>2")),
        (r"\emptyset", ("∅", "Ø", r"\{ \}"), ("0", "{0}", "o")),
    ),
    "thousands": (
        (
            "1000",
            (
                "1 000", r"1\;000", r"1\ 000", "1{,}000", r"1,\!000",
                r"1, \! 000", r"1.000\times10^3", "+1000", "1e3",
            ),
            ("1,00", "10 00", r"1\text{.}000", "1.000", "1, 000", "1;000"),
        ),
        ("1234567", ("1 234 567", "1,234,567"), ("1 234,567", "12 34567")),
        (r"\log_2 128", ("7", "14/2"), ("2128",)),
    ),
    "repeating": (
        (
            r"\frac{1}{3}",
            (r"0.\overline3", r"0.\overline{33}", r"0.\bar3", "0.(3)"),
            ("0.333", "0.3...", r"0.\dot{3}4", "0.(3)5", "0.3(3", "33.3\\%"),
        ),
        (
            r"\frac{1}{7}",
            ("0.(142857)", r"0.\bar{142857}", r"0.\dot{1}4285\dot{7}"),
            ("0.142857", r"0.\dot{1}42857", r"0.\dot{1}\dot{4}2857"),
        ),
    ),
    "money": (
        (
            r"\$5",
            (
                "$5", r"\text{\$}5", r"\text{\$5}", r"5\$", r"US\$5",
                r"5\,\text{USD}", "5 dollars", r"\$5.00",
            ),
            ("€5", r"5\text{ cents}", "£5", "5¢", r"\$5\text{ million}"),
        ),
        (r"5.4\text{ cents}", ("5.4¢", "5.4"), (r"\$5.4", "54¢")),
    ),
    "units": (
        (
            r"12\text{ cm}^2",
            (
                r"12\,\mathrm{cm^2}", "12 cm²", r"12\text{ sq cm}",
                r"12\text{ sq. cm}", "12 square cm", r"12\mathrm{~cm}^{2}",
                "12cm^2",
            ),
            (r"12\text{ cm}^3", r"12\text{ cm}", r"12\text{ m}^2"),
        ),
        (
            r"60\text{ mph}",
            (
                r"60\text{ miles/hour}", r"60\,\frac{\text{mi}}{\text{h}}",
                "60 miles per hour",
            ),
            (r"60\text{ m/s}", r"60\text{ miles}", r"60\text{ h/mi}"),
        ),
        (
            r"60^\circ",
            (r"60\degree", r"60^{\text{o}}", "60°", r"60\text{ deg}"),
            (r"60\text{ rad}", r"60\%", "6^0"),
        ),
        ("5", (r"5\text{ units}",), ("5 PM", r"5\text{ or so}", "5 eggs")),
    ),
    "bases": (
        (
            "101_2",
            (
                "101_{two}", r"101\text{ (base 2)}", "101 base 2",
                r"101_{\text{base }2}", r"101_{(2)}", r"101\text{ in base two}",
            ),
            ("101", r"101\text{ base }10", r"\text{base }2", "101_{three}"),
        ),
        (
            "A3_{16}",
            (r"\text{A3}_{16}", r"\mathrm{a3}_{16}", "A3_{sixteen}"),
            ("A_3", "3A_{16}", "A3", "163"),
        ),
        ("16", (r"16_{10}", r"16\text{ base ten}"), (r"16\text{ base }8",)),
    ),
    "choices": (
        (
            r"\text{(A)}",
            (
                "A.", "A)", r"\mathbf{(A)}", r"\text{option (A)}", "Option A",
                r"\text{Choice A}", r"(\textbf{A})",
            ),
            (
                r"\text{Option B}", "AB", "A'", "A_1", r"\text{All but A}",
                r"\text{Neither A}", "А", r"\alpha", "a", r"\text{A and B}",
            ),
        ),
    ),
    "words": (
        (r"\text{even}", ("Even", r"\text{``even''}"), (r"\text{uneven}",)),
        (
            r"\text{no solution}",
            ("No solutions", r"\text{no solution.}", "There is no solution"),
            (
                r"\text{one solution}", r"\text{not no solution}",
                r"\text{infinitely many solutions}",
            ),
        ),
        (
            r"\text{June 20}",
            ("June 20th", r"20\text{ June}", r"\text{20 June}", "Jun. 20"),
            (r"\text{June 2}", r"\text{July 20}", "June", "20"),
        ),
        (
            r"4:30\text{ p.m.}",
            ("4:30pm", "4:30 p.m.", r"4{:}30\text{ P.M.}", "4:30"),
            (r"4:30\text{ am}", "4.30", "4:03", "430", r"16:30\text{ a.m.}"),
        ),
    ),
    "names": (
        (
            "5",
            (
                r"\text{Perimeter}=5", r"\text{Number of ways}=5", "P(B)=5",
                r"P(A\cap B)=5", "AB=5", "S_{10}=5", "a_{n+1}=5", r"\mu=5",
                r"\text{Hence }x=5", r"\text{Answer: }5", "|AB|=5",
                r"\text{The largest $n$ is }5", r"x=5\text{ cm}", "h(t)=5",
            ),
            (
                r"\text{Everything but }=5", r"\text{ten times it}=5",
                r"\text{Area minus one}=5", r"\text{the answer squared}=5",
                r"\text{square of the answer}=5", r"\text{log of answer}=5",
                r"\text{The remainder of the answer is }5",
                r"\text{absolute value}=5", r"\text{sum, not area}=5",
                "-x=5", "|x|=5", r"\sqrt{x}=5", "x!=5", "k(m)=5", "xy=5",
                r"\ln x=5", "5=2x", r"5=\text{not}", r"x\ne5", r"x\to5",
                r"\text{at most }5", r"\text{If }x=1\text{, }5", "not=5",
            ),
        ),
    ),
    "sets of numbers": (
        (
            r"(-\infty,1)\cup(2,\infty)",
            (
                r"]-\infty,1[\cup]2,\infty[", r"\mathbb{R}-[1,2]",
                r"\{x\mid x<1\text{ or }x>2\}", r"\R\backslash[1,2]",
                r"(-\infty,1)\bigcup(2,+\infty)", r"x<1\lor x>2",
            ),
            (r"|x|>1", r"\mathbb{R}\setminus\{1,2\}", r"x<1\land x>2", "[1,2]"),
        ),
        (
            "-2<x<2",
            (r"|x|<2", "(-2,2)", r"x>-2\text{ and }x<2", r"x\in(-2,2)"),
            (r"|x|\le2", r"|x|>2", r"x<2", r"|y-1|<2", r"x>-2\text{ or }x<2"),
        ),
        (
            r"x\ne2",
            (r"(-\infty,2)\cup(2,\infty)", r"\mathbb{R}\setminus\{2\}", "2≠x"),
            ("x=2", r"\mathbb{R}\setminus\{3\}", r"x\ne3", "2"),
        ),
        (
            "1,2",
            ("1; 2", r"\lbrace 1,2\rbrace", r"\{1\}\cup\{2\}", "x_1=1,x_2=2"),
            (r"1\text{ to }2", "1-2", "[1,2]", r"\{1\}\cap\{2\}", "(1,2)"),
        ),
    ),
    "functions": (
        (
            "3-2f(x)",
            (r"3-2\cdot f(x)", "-2f(x)+3", "3-f(x)-f(x)"),
            ("3-2x", "3-2f(y)", "3-2g(x)", "3-2fx"),
        ),
        ("f(x)=2x+1", ("1+2x", "f(x)=1+2x"), ("2x", "f(x)=2x", "f(y)=2x+1")),
        ("2004!", (r"2004!",), ("2005!", "2004", r"\frac{1}{2004!}")),
    ),
    "text around digits": (
        (
            r"\frac{3}{4}",
            (r"\frac{\text{3}}{\text{4}}", r"\text{3}/\text{4}"),
            (r"\frac{\text{4}}{\text{3}}", r"\frac3\text{not }4"),
        ),
        (
            "12",
            (r"\text{\textbf{12}}", r"\mathbf{\text{12}}", r"\textsl{12}"),
            (r"1\text{ 2}", r"\text{1}\text{2}", r"\text{1 2}", r"1{}2"),
        ),
        (r"8\pi", (r"8\mathrm{\pi}",), (r"8\mathrm{\pi}^\circ",)),
        ("59292", (r"59{\,}292",), (r"59{\,}29", r"59{}292{}1")),
        (r"\$18.90", (r"\$18{.}90", r"\mathdollar18.90"), (r"\$18.{}9",)),
        (
            r"0.\overline{12}",
            (r"0.{\overline{12}}",), (r"0.{\overline{1}}2", r"{\overline{12}}"),
        ),
        (r"2\sqrt{3}", ("√{12}", "2√{3}"), ("√{1}2", "√12{3}")),
        ("5", (r"\Rightarrow5", r"\therefore x=5"), (r"6\Rightarrow5",)),
        (r"x\ne2", (r"x\not=2",), ("x=2", r"x\not2")),
    ),
    "units in words": (
        (
            r"9.8\text{ m/s}^2",
            ("9.8 m/s^2", "9.8 meters/second^2", r"9.8\text{ m/s}^{2}"),
            ("9.8 m/s", r"9.8\text{ meters per second cubed}", "9.8 s/m^2"),
        ),
        (
            "18",
            (
                r"18\text{ tablespoons}", r"18\text{ grammes}", "18 km/h",
                "18 years old",
            ),
            ("18 a/b", "18 km/h/x", r"18\text{ fold}", r"18\text{ years off}"),
        ),
        (r"50\text{ cents}", (r"50\text{¢}",), (r"50\text{€}",)),
        ("45^\\circ", ("45˚", r"45{^\circ}", r"\measuredangle A=45^\circ"),
         (r"45^{\circ}2",)),
        (r"12\text{ cm}^2", (r"12\operatorname{cm}^2",), (r"\text{12 cm}^3",)),
    ),
    "choices with values": (
        (
            "B",
            (
                r"\text{(B) }5", r"\textbf{(B)}\ \frac{1}{2}", r"\text{B. }5",
                r"\text{(B)}12\text{ cm}", "(B) 12", "B: 12", "option (B)",
                r"\textbf{(B)}\ (1,2)", r"\text{\textbf{(B)}}",
            ),
            (
                "B) 12, C) 13", "(B) 12 rejected", r"\text{(B)}12\text{ nope}",
                r"\text{(B)}\text{(C)}", "B: never", "B:A", "option (C)",
                r"\text{(B)}\text{ is wrong}", "(B)-12", "12B",
                r"\text{(A)}5\text{ not (B)}", r"\text{not (B)}5",
            ),
        ),
        ("12B", ("12B",), ("(B)12", "B: 12")),
    ),
    "merged intervals": (
        (
            r"[-1,1]",
            (r"[-1,0]\cup[0,1]", r"[-1,0)\cup[0,1]", r"[0,1]\cup[-1,0]"),
            (r"[-1,0)\cup(0,1]", r"[-1,1]\cup[1,2]", r"(-1,0]\cup[0,1]"),
        ),
        (
            r"[2,\infty)",
            (r"[2,\infty)\cup[5,7]", r"x\in\mathbb{R},x\ge2"),
            (r"x\ge2\text{ or }x\in\mathbb{R}", r"[2,\infty)\cup[1,7]"),
        ),
        (
            "[0,5)",
            (r"0\le x\le5,x\ne5", r"0\le x\le5\text{ and }x\ne5"),
            (r"0\le x\le5,y\ne5", r"0\le x\le5,x\ne4", r"0\le x,x\ne5"),
        ),
        (r"x<1\text{ or }x>2", ("x<1,x>2",), (r"x<1\text{ and }x\ne2",)),
        ("(1,2)", ("(1,2)",), (r"(1,2)\cup(1,2)",)),
        (r"\mathbb{R}", (r"x\ge2\text{ or }x<2",), (r"x>2\text{ or }x<2",)),
    ),
    "roots and factorials": (
        ("-3", (r"\sqrt[5]{-243}",), (r"\sqrt[4]{-81}", r"\sqrt{-9}")),
        (r"-\sqrt[3]{2}", (r"\sqrt[3]{-2}",), (r"\sqrt[3]{2}",)),
        ("35", (r"\frac{7!}{4!\,3!}",), (r"\frac{7!}{4!3}", r"\frac{7!}{43!}")),
        (
            r"\binom{n}{3}",
            (r"\frac{n!}{3!(n-3)!}",),
            (r"\frac{n!}{3!(n-2)!}", r"\frac{n!}{(n-3)!}"),
        ),
        (r"\tan x", (r"\sin x/\cos x",), (r"\cos x/\sin x", r"\sin x/2")),
    ),
    "words in relations": (
        (
            "x>2",
            ("2<x", r"x>2\text{ cm}", "2x>4"),
            (
                r"x>2\text{ (false)}", r"x>2\text{ except x=3}", "x>2 fails",
                r"x\text{ halved}>2", r"x\text{ cm}>2", r"x>2\text{ never}",
                r"2x>4\text{ never}", r"x\%>2", r"x>2\text{x}",
            ),
        ),
        (
            "x=-10",
            ("-10=x", r"x=-10\text{ m}", r"x=-10.0"),
            (
                r"x\text{ doubled}=-10", r"x\text{ k}=-10", r"x\%=-10",
                r"-10=x\text{ negated}", r"x=-10\text{ never}",
            ),
        ),
        (
            "y=2x+1",
            ("2x+1=y", "y-1=2x"),
            (r"y\text{ inverse}=2x+1", r"y-1\text{ bananas}=2x"),
        ),
        (
            r"x<1\text{ or }x>2",
            (r"x>2\text{ or }x<1",),
            (r"x<1\text{ or }x>2\text{ denied}",),
        ),
    ),
    "powers of zero": (
        (
            "749",
            (r"749+0^2", r"749+0\cdot z", "749z^0"),
            (
                "749+0^{z^2}", "749(1-0^{z^2})", "749+(w-w)^{z^2}",
                r"749+(\sin^2 w+\cos^2 w-1)^{z^2}", "749+0^{|z|}",
                r"749+(\sqrt{3-2\sqrt{2}}-\sqrt{2}+1)^{z^2}",
            ),
        ),
        ("x", (r"x+0^3",), ("x+0^{x^2}", "x+0^{|x-3|}", "x(1-0^{|x-1|})")),
        ("x^2+y^2=13", ("y^2+x^2=13",), ("x^2+y^2+0^{x^2}=13",)),
    ),
    "roundings": (
        (
            r"\sqrt{10}",
            (
                r"\sqrt{10}\approx3.162", r"x=\sqrt{10}\approx 3.2",
                r"\sqrt{10}\approx3.16\text{ cm}", "√10 ≈ 3.16",
                r"\sqrt{10}\approx3",
            ),
            (
                r"\sqrt{10}\approx3.17", r"\sqrt{10}\approx-3.16",
                r"\sqrt{10}\approx x", r"\sqrt{10}\approx(3,4)",
                r"\sqrt{10}\approx3.16\text{ or }3", r"\sqrt{11}\approx3.2",
                r"\sqrt{10}\approx\text{no}", r"x\approx\sqrt{10}",
            ),
        ),
        (
            "5",
            (r"5\approx5.0", r"x\approx5", r"\text{Area}\approx5"),
            (r"5\approx6", r"5=5\approx6=7", r"4.9\approx5", r"5\approx-5"),
        ),
        (
            r"\frac{3}{4}",
            (r"\frac34\approx0.8", r"\frac34\approx0.7", r"0.75\approx0.75"),
            (r"\frac34\approx0.8\text{ or }0.7", r"0.8\approx\frac34"),
        ),
        (r"5\text{ cm}", (r"5\text{ cm}\approx5",), (r"5\approx5\text{ m}",)),
    ),
    "labels": (
        (
            "(1,2)",
            ("(x,y)=(1,2)", "P=(1,2)", r"(r,\theta)=(1,2)", "(a,B)=(1,2)"),
            (
                "(y,x)=(1,2)", "(x,x)=(1,2)", "(x,y,z)=(1,2)", "(y=1,x=2)",
                r"(1\text{ cm},2\text{ kg})", "|A|=(1,2)",
            ),
        ),
        (
            "1,2,3",
            ("x=1,2,3", "n=3,n=1,n=2", "x_1=1,x_2=2,x_3=3"),
            ("a=3,b=2,c=1", "x=1,2,y=3", r"1\text{ m},2\text{ s},3"),
        ),
        ("n=2,3,4", ("2,3,4",), ("n=2,m=3,k=4",)),
        ("5", ("x=y=5", "a=b=c=5", "[ABC]=5"), ("x=y=6", "(x,y)=5", "x=4=5")),
        ("3:4", ("a:b=3:4", "AB:BC=3:4"), ("b:a=3:4", "a:b:c=3:4")),
        (
            "x=2,y=3",
            (r"x=2\text{ and }y=3", "(y,x)=(3,2)"),
            (
                r"x=2\lor y=3", "(x,x)=(2,3)", "(x,y,z)=(2,3,4)",
                r"x=2\text{ cm},y=3\text{ kg}",
            ),
        ),
        (r"\frac{\pi}{6}", (r"\theta=\frac{\pi}{6}",),
         (r"\frac{\pi}{6}^\circ", r"\frac{\pi}{6}\text{ degrees}")),
        (
            "5",
            (r"5\text{ m}", r"\text{The answer is }5"),
            (
                r"5\text{ M}", r"5\text{ K}",
                r"\text{My former answer is }5",
                r"\text{The answer far away is }5",
            ),
        ),
        ("1,2", (r"\{1,2\}",), (r"\{\{1\},\{2\}\}", r"\{\{1,2\}\}")),
    ),
}  # fmt: skip


class KindsTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.grader = MathGrader(timeout_s=20.0)
    cls.addClassCleanup(cls.grader.close)

  def _check(self, pairs, is_right):
    golds, answers = zip(*pairs, strict=True)
    texts = [rf"So it is $\boxed{{{answer}}}$." for answer in answers]
    grades = self.grader.grade(texts, golds)
    wrong = [
        (*pair, grade.status)
        for pair, grade in zip(pairs, grades, strict=True)
        if grade.is_correct != is_right
    ]
    self.assertEmpty(wrong)

  @parameterized.parameters(*KINDS)
  def test_right(self, kind):
    self._check([(g, a) for g, right, _ in KINDS[kind] for a in right], True)

  @parameterized.parameters(*KINDS)
  def test_wrong(self, kind):
    self._check([(g, a) for g, _, wrong in KINDS[kind] for a in wrong], False)

  def test_golds_can_be_graded(self):
    golds = [gold for cases in KINDS.values() for gold, _, _ in cases]
    self.assertEmpty(self.grader.unreadable_golds(golds))


if __name__ == "__main__":
  absltest.main()
