// Self-attention for the Hopper kernel: its tiles, the boxes that TMA copies, and what is left to the kernels of sm_80. Pure, as hopper_plan.h.
#pragma once
#include "attention_tile.h"
#include "hopper_layout.h"

namespace dreamdist::cuda::hopper {

// A block has 128 queries of one head, 64 for each of two warpgroups: their scores of 128 keys are 64 registers a thread, beside 32 of
// results, 32 of weights and what the softmax takes. Two stages would do for keys and values; a third is there while both wait.
constexpr int kHeadWidth = 64, kQueryRows = 128, kKeyRows = 128, kKeyStages = 3;
using QueryTile = OperandTile<kQueryRows, true>;
using KeyTile = OperandTile<kKeyRows, true>;
using ValueTile = OperandTile<kHeadWidth, false, kKeyRows>;  // its rows are the head's columns, its K the keys

// Rows of q, k or v: a head's columns, heads, rows, batches. Coordinates: (0, head, row, batch).
inline TensorBox head_box(const AttentionShape& s, int64_t rows, int64_t pitch, int64_t batch, int box_rows) {
	TensorBox box;
	box.add(kHeadWidth, 2, kHeadWidth).add((uint64_t)s.H, kHeadWidth * 2, 1).add((uint64_t)rows, uint64_t(pitch) * 2, (uint32_t)box_rows);
	return box.add((uint64_t)s.B, s.B > 1 ? uint64_t(batch) * 2 : uint64_t(pitch) * 2, 1);
}
inline TensorBox query_box(const AttentionShape& s) { return head_box(s, s.Lq, s.q_pitch, s.q_batch, kQueryRows); }
inline TensorBox key_box(const AttentionShape& s) { return head_box(s, s.Lk, s.k_pitch, s.k_batch, kKeyRows); }
inline TensorBox value_box(const AttentionShape& s) { return head_box(s, s.Lk, s.v_pitch, s.v_batch, kKeyRows); }

// The copier's order: keys and values in turn, each with barriers of their own.
template <class WaitKeys, class FillKeys, class WaitValues, class FillValues>
DD_ANYWHERE void fill_steps(int stages, int steps, WaitKeys&& wait_keys, FillKeys&& fill_keys, WaitValues&& wait_values, FillValues&& fill_values) {
	RingPlace place;
	for (int step = 0; step < steps; step++) {
		wait_keys(place.stage, place.parity ^ 1);
		fill_keys(place.stage, step);
		wait_values(place.stage, place.parity ^ 1);
		fill_values(place.stage, step);
		place.advance(stages);
	}
}
// A warpgroup's: while a step's weighted values are added, the next step's scores are computed and their softmax taken. `softmax` may not
// touch results or weights, which are in use; `take` rescales results and makes the scores weights. At least one step.
template <class WaitKeys, class WaitValues, class MultiplyKeys, class MultiplyValues, class SettleOlder, class SettleAll, class ReleaseKeys, class ReleaseValues, class Softmax, class Take>
DD_ANYWHERE void drain_steps(int stages, int steps, WaitKeys&& wait_keys, WaitValues&& wait_values, MultiplyKeys&& multiply_keys, MultiplyValues&& multiply_values, SettleOlder&& settle_older,
							 SettleAll&& settle_all, ReleaseKeys&& release_keys, ReleaseValues&& release_values, Softmax&& softmax, Take&& take) {
	RingPlace place;
	wait_keys(place.stage, place.parity);
	multiply_keys(place.stage);
	settle_all();
	release_keys(place.stage);
	softmax(0);
	take(0);
	for (int step = 1; step < steps; step++) {
		const RingPlace before = place;
		place.advance(stages);
		wait_keys(place.stage, place.parity);
		multiply_keys(place.stage);
		wait_values(before.stage, before.parity);
		multiply_values(before.stage);
		settle_older();
		release_keys(place.stage);
		softmax(step);
		settle_all();
		release_values(before.stage);
		take(step);
	}
	wait_values(place.stage, place.parity);
	multiply_values(place.stage);
	settle_all();
	release_values(place.stage);
}

// Why the kernel of sm_80 computes it; null: the Hopper kernel can.
inline const char* why_not(const AttentionShape& s) {
	if (s.D != kHeadWidth) return "heads are not 64 wide";
	if (s.causal) return "it is causal";
	if (s.Lq <= kQueryRows / 2) return "at most 64 queries fill half of a tile";
	if (s.Lk <= 80) return "as few keys as these take one step there";
	for (const TensorBox& box : {query_box(s), key_box(s), value_box(s)})
		if (const char* why = box.problem(0)) return why;
	return nullptr;
}

}  // namespace dreamdist::cuda::hopper
