// The gradient of self-attention for the Hopper kernels: tiles, boxes and where they lie in shared memory, the order of both sides, and what
// is left to the kernels of sm_80. Pure, as hopper_plan.h.
#pragma once
#include <algorithm>
#include <type_traits>

#include "hopper_attention_plan.h"

namespace dreamdist::cuda::hopper {

// Two kernels, one per output side, so that no sum depends on timing. A block holds 128 rows of its side, 64 for each of two warpgroups, and
// walks the other side step by step:
//   keys      holds k and v, walks q and do;  scores k·qᵀ, products v·doᵀ;  dv += weights · do, dk += gradients · q
//   queries   holds q and do, walks k and v;  scores q·kᵀ, products do·vᵀ;  dq += gradients · k
// Of either pair the first (q or k) belongs to the scores, the second (do or v) to the products.
//
// Rows of the scores are those that are held, so that weights and gradients go from the registers of one product's results to those of the next
// one's left operand, and threads write no tile. What is walked is the right operand of both, read along its rows, then along its columns. The
// first of what is held is read into registers once, as shared memory has little to spare: while the tensor cores are busy, a step then asks for
// 84 % (keys) and 75 % (queries) of what shared memory can give; 92 % and 83 % with both read from there by each product.
enum class GradSide { keys, queries };
constexpr int kGradRows = 128, kGradStages = 3;
using HeldTile = OperandTile<kGradRows, true>;

// Of a side: its steps, and where things lie in shared memory, in bytes from an address aligned to a tile. Where keys are held, each step has
// its queries' statistics beside them.
template <GradSide Side>
struct GradPlaces {
	// Of a thread's 240 registers scores, products and the left operand are 5 for each four columns, what is held 16, and sums 64 (32 for dq).
	// Steps of 128 leave too few beside dk and dv; 96 divides the lengths of the UNet's self-attention at 768 pixels (9216, 2304, 576).
	static constexpr int kStep = Side == GradSide::keys ? 96 : 128;
	using WalkedTile = OperandTile<kStep, true>;
	using WalkedColumns = OperandTile<kHeadWidth, false, kStep>;  // the same bytes, read for the sums: its rows are the head's columns
	static_assert(WalkedColumns::kBytes == WalkedTile::kBytes && WalkedColumns::kBoxes == 1 && WalkedTile::kBytes % kTileAlignment == 0);
	static constexpr int kStatisticBytes = Side == GradSide::keys ? kStep * 4 : 0;
	static constexpr int kSecondHeld = HeldTile::kBytes, kRing = 2 * HeldTile::kBytes, kRooms = kRing + 2 * kGradStages * (WalkedTile::kBytes + kStatisticBytes);
	static constexpr DD_ANYWHERE int first(int stage) { return kRing + stage * WalkedTile::kBytes; }
	static constexpr DD_ANYWHERE int second(int stage) { return first(kGradStages + stage); }
	static constexpr DD_ANYWHERE int lse(int stage) { return first(2 * kGradStages) + stage * kStatisticBytes; }
	static constexpr DD_ANYWHERE int delta(int stage) { return lse(kGradStages + stage); }
};

// ---- What TMA copies

// Boxes of so many rows of q and do, of k and v.
inline TensorBox grad_first_box(const AttentionShape& s, GradSide of, int rows) {
	return of == GradSide::keys ? head_box(s, s.Lk, s.k_pitch, s.k_batch, rows) : head_box(s, s.Lq, s.q_pitch, s.q_batch, rows);
}
inline TensorBox grad_second_box(const AttentionShape& s, GradSide of, int rows) {
	return of == GradSide::keys ? head_box(s, s.Lk, s.v_pitch, s.v_batch, rows) : head_box(s, s.Lq, s.do_pitch, s.do_batch, rows);
}

// Rows of lse · log2 e and of Σ do · o · scale: [head][2][grad_rows], which is queries in whole steps and in whole blocks. A query that is not
// there has an lse of infinity, hence weights of 0.
inline int64_t grad_rows(const AttentionShape& s) {
	auto whole = [&](int64_t of) { return (s.Lq + of - 1) / of * of; };
	return std::max(whole(GradPlaces<GradSide::keys>::kStep), whole(kGradRows));
}
inline int64_t grad_statistics_bytes(const AttentionShape& s) { return (int64_t)s.B * s.H * 2 * grad_rows(s) * 4; }

// ---- Order

// What is walked begins at its end, so that the step that may lack rows is the first, which stands apart from the loop.
DD_ANYWHERE constexpr int walked_step(int step, int steps) { return steps - 1 - step; }

// A warpgroup's; the copier's is fill_steps. While the softmax is taken of a step's scores, the tensor cores compute its products and add the
// gradients of the step before; while gradients are computed, they add the weights to dv. Both sums' left operand lies in the same registers,
// so each is done before the other's is written. Nothing is under way where the loop closes: ptxas would wait for each product by itself.
//   wait_first, wait_second(stage, parity); release_first, release_second(stage)
//   multiply_scores, multiply_products, add_weights, add_gradients(stage): queue products, each as a group of its own
//   settle<Pending>: all groups but so many of the latest are done
//   weigh(stage, first): scores become weights; `first` is a std::bool_constant. differentiate(stage): products become gradients
//   take_weights, take_gradients: makes them the left operand
// At least one step, and two stages where there are more.
template <bool Weighted, class Worker>
DD_ANYWHERE void drain_grad_steps(int stages, int steps, Worker&& worker) {
	RingPlace place;
	auto begin = [&] {
		worker.wait_first(place.stage, place.parity);
		worker.multiply_scores(place.stage);
		worker.wait_second(place.stage, place.parity);
		worker.multiply_products(place.stage);
	};
	auto finish = [&](auto first) {
		worker.weigh(place.stage, first);
		if constexpr (Weighted) {
			worker.template settle<0>();
			worker.take_weights();
			worker.add_weights(place.stage);
		} else worker.template settle<decltype(first)::value ? 0 : 1>();
		worker.differentiate(place.stage);
		worker.template settle<0>();
		worker.release_second(place.stage);
		worker.take_gradients();
	};
	begin();
	worker.template settle<1>();
	finish(std::true_type{});
	for (int step = 1; step < steps; step++) {
		const int before = place.stage;
		place.advance(stages);
		begin();
		worker.add_gradients(before);
		worker.template settle<2>();
		finish(std::false_type{});
		worker.release_first(before);
	}
	worker.add_gradients(place.stage);
	worker.template settle<0>();
	worker.release_first(place.stage);
}

// Why the kernels of sm_80 compute it; null: the Hopper kernels can.
inline const char* why_not_grad(const AttentionShape& s) {
	if (const char* why = why_not(s)) return why;
	return grad_second_box(s, GradSide::queries, kGradRows).problem(0);
}

}  // namespace dreamdist::cuda::hopper
