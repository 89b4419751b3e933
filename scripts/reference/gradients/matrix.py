"""Products of matrices, sums of products, determinants."""

import torch
from case import case, real, single, unary

single("Det")

case("MatMul", {"a": real(3, 4), "b": real(4, 2)}, {}, torch.matmul)
case("MatMul", {"a": real(2, 3, 4), "b": real(4, 2)}, {}, torch.matmul, title="a batch by one matrix")
case("MatMul", {"a": real(2, 1, 3, 4), "b": real(3, 4, 2)}, {}, torch.matmul, title="broadcast batches")
case("MatMul", {"a": real(4), "b": real(4, 2)}, {}, torch.matmul, title="a row")
case("MatMul", {"a": real(2, 3, 4), "b": real(4)}, {}, torch.matmul, title="a column")
case("MatMul", {"a": real(4), "b": real(4)}, {}, torch.matmul, title="two vectors")
for ta in (0, 1):
    for tb in (0, 1):
        case(
            "Gemm",
            {"a": real(*((4, 3) if ta else (3, 4))), "b": real(*((2, 4) if tb else (4, 2))), "c": real(1, 2) if ta else real(2)},
            {"transA": ta, "transB": tb, "alpha": 0.7, "beta": 1.3},
            lambda a, b, c, ta=ta, tb=tb: 0.7 * (a.T if ta else a) @ (b.T if tb else b) + 1.3 * c,
            title=f"transA {ta}, transB {tb}",
        )
case("Einsum", {"a": real(2, 3, 4), "b": real(2, 4, 5)}, {"equation": "bij,bjk->bik"}, lambda a, b: torch.einsum("bij,bjk->bik", a, b))
case("Einsum", {"a": real(2, 3), "b": real(3, 4)}, {"equation": "ij,jk->k"}, lambda a, b: torch.einsum("ij,jk->k", a, b), title="with what one operand alone sums away")
case("Einsum", {"a": real(2, 3, 4)}, {"equation": "ijk->kj"}, lambda a: torch.einsum("ijk->kj", a), title="one operand")
case("Einsum", {"a": real(2, 3, 4), "b": real(2, 4, 5)}, {"equation": "...ij,...jk->...ik"}, torch.matmul, title="ellipsis")

unary("Det", torch.linalg.det, real(2, 2, 3, 3), static=["x"])
unary("Det", torch.linalg.det, real(3, 1, 1), static=["x"], title="1 x 1")

case("FusedMatMul", {"a": real(2, 4, 3), "b": real(5, 4)}, {"alpha": 0.5, "transA": 1, "transB": 1}, lambda a, b: 0.5 * a.transpose(-1, -2) @ b.T, domain="com.microsoft", title="transposed")
case("FusedMatMul", {"a": real(3, 4), "b": real(2, 4, 5)}, {"alpha": 2.0}, lambda a, b: 2 * a @ b, domain="com.microsoft", title="plain")

def sum_of(equation, *operands, title, **more):
    """numpy and PyTorch have the same equations as ONNX, but for spaces."""
    case("Einsum", dict(zip("abcd", operands)), {"equation": equation}, lambda *t: torch.einsum(equation.replace(" ", ""), *t), title=title, **more)


sum_of("ii->i", real(3, 3), title="a diagonal")
sum_of("ii", real(3, 3), title="a trace")
sum_of("bii->bi", real(2, 3, 3), title="diagonals of a batch")
sum_of("iji,jk->ik", real(3, 2, 3), real(2, 4), title="a diagonal in a product")
sum_of("ij, jk, kl -> il", real(2, 3), real(3, 4), real(4, 2), title="three operands, spaces")
sum_of("bi,bj,b->ij", real(3, 2), real(3, 4), real(3), title="three operands, an outer product")
sum_of("ij,jk,k", real(2, 3), real(3, 4), real(4), title="three operands, no arrow")
sum_of("...ij,jk->...ik", real(2, 3, 4), real(4, 5), title="ellipsis of one operand")
sum_of("...ij,...jk->...ik", real(2, 1, 3, 4), real(1, 5, 4, 2), title="ellipsis that broadcasts")
sum_of("...i->...", real(2, 3, 4), title="ellipsis, summed")
sum_of("i...->...i", real(2, 3, 4), title="ellipsis in the middle")
sum_of("bhqd,bhkd->bhqk", real(1, 2, 3, 4), real(1, 2, 5, 4), title="scores of attention")
