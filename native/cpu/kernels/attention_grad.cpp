// Flash attention, backward: with P = softmax(scale · q kᵀ) rebuilt from the saved log-sum-exp, tile by tile,
//   dv = Pᵀ do,   dS = P ∘ (do vᵀ − rowsum(do ∘ o)),   dk = scale · dSᵀ q,   dq = scale · dS k.
//
// Everything is computed transposed: a register tile holds keys × queries, so that P and dS are at once the left operand of dv and dk, the
// per-query terms are plain vectors, and dSᵀ, stored as panels, is the right operand of dqᵀ = kᵀ dSᵀ. Five matmuls, no transposition
// of a score.
//
// Keys are owned: the (batch, head, tile of keys) sequence is cut into one contiguous part per thread, and each part accumulates its own
// dk and dv, and dqᵀ of the head it is in. A head cut between parts gets the later parts' dq added afterwards, in order: the same bits on
// every run with the same number of threads.
#include "attention_pack.h"
#include "exp2.h"

#include <cmath>

namespace dreamdist::cpu::DD_ISA {

namespace {

// Queries held as panels while a block of keys passes: half a megabyte of panels at most.
int64_t query_block(int64_t width) { return (width <= 128 ? 128 : 64) / kTileCols * kTileCols; }

// dqᵀ of one head: [block of queries][width][query_block].
int64_t slot_floats(const AttentionShape& s) { return round_up(s.queries, query_block(s.width)) * s.width; }

int64_t key_block(int64_t width) { return max_of(2, min_of(256, 32768 / width) / kTileRows) * kTileRows; }

struct Workspace {
	float *qT, *doT, *q, *dout, *k, *v, *kT, *dk, *dv, *p, *ds, *ds_panels, *minus_lse, *delta;
	int64_t bytes;
	Workspace(float* base, int64_t query_rows, int64_t key_rows, int64_t width) {
		ScratchPieces carver{base};
		const int64_t padded = round_up(width, kLanes);
		qT = carver.take(query_rows * width);
		doT = carver.take(query_rows * width);
		q = carver.take(query_rows * padded);
		dout = carver.take(query_rows * padded);
		k = carver.take(key_rows * width);
		v = carver.take(key_rows * width);
		kT = carver.take(round_up(key_rows, kLanes) * width);
		dk = carver.take(key_rows * padded);
		dv = carver.take(key_rows * padded);
		p = carver.take(kTileRows * query_rows);
		ds = carver.take(kTileRows * query_rows);
		ds_panels = carver.take(key_rows * query_rows);
		minus_lse = carver.take(query_rows);
		delta = carver.take(query_rows);
		bytes = carver.used * 4;
	}
};

float dot(const float* a, const float* b, int64_t n) {
	vf total = zero();
	int64_t i = 0;
	for (; i + kLanes <= n; i += kLanes) total = fma(load(a + i), load(b + i), total);
	if (i < n) total = fma(load_n(a + i, n - i), load_n(b + i, n - i), total);
	return sum(total);
}

// The call, with every pointer moved to one head.
struct Head {
	const float *q, *k, *v, *o, *lse, *dout;
	float *dq, *dk, *dv;  // rows of `pitch` floats
	int64_t pitch;
};

class Backward {
public:
	Backward(const KernelArgs& args)
		: s_(args), do_pitch_(args.ints[14]), do_batch_(args.ints[15]), scale_((float)args.floats[0]), c_((float)(args.floats[0] / kLn2)),
		  padded_(round_up(s_.width, kLanes)), query_rows_(query_block(s_.width)), key_rows_(key_block(s_.width)),
		  key_tiles_(ceil_div(s_.keys, kTileRows)), query_blocks_(ceil_div(s_.queries, query_rows_)), args_(args) {}

	void run(ThreadTeam& team) const {
		const int parts = team.size();
		const int64_t total = s_.batches * s_.heads * key_tiles_;
		auto bound = [&](int64_t part) { return total * part / parts; };
		team.parallel_for(parts, 1, [&](int64_t begin, int64_t end, int thread) {
			const Workspace w(static_cast<float*>(team.scratch(thread, Workspace(nullptr, query_rows_, key_rows_, s_.width).bytes)), query_rows_, key_rows_, s_.width);
			for (int64_t part = begin; part < end; part++) {
				// The head that this part enters in the middle comes last: its dqᵀ stays in the slot.
				const int64_t from = bound(part), to = bound(part + 1), whole = min_of(to, round_up(from, key_tiles_));
				for (int64_t at = whole; at < to; at = (at / key_tiles_ + 1) * key_tiles_) {
					const int64_t index = at / key_tiles_;
					keys(index, 0, min_of(to - at, key_tiles_), slot(part), w);
					if (args_.ptr(6))
						for (int64_t i = 0; i < query_blocks_; i++) add_dq<false>(index, i, slot(part));
				}
				if (from < whole) keys(from / key_tiles_, from % key_tiles_, from % key_tiles_ + whole - from, slot(part), w);
			}
		});
		if (!args_.ptr(6)) return;
		team.parallel_for(query_blocks_, 1, [&](int64_t begin, int64_t end, int) {
			for (int64_t part = 1; part < parts; part++)
				if (bound(part) < bound(part + 1) && bound(part) % key_tiles_)
					for (int64_t i = begin; i < end; i++) add_dq<true>(bound(part) / key_tiles_, i, slot(part));
		});
	}

private:
	float* slot(int64_t part) const { return static_cast<float*>(args_.scratch) + part * slot_floats(s_); }

	Head head(int64_t index) const {
		const int64_t b = index / s_.heads, h = index % s_.heads, at = h * s_.width, pitch = s_.heads * s_.width;
		auto output = [&](int operand, int64_t rows) { float* p = args_.ptr(operand); return p ? p + b * rows * pitch + at : nullptr; };
		return {args_.ptr(0) + b * s_.q_batch + at, args_.ptr(1) + b * s_.k_batch + at, args_.ptr(2) + b * s_.v_batch + at,
				args_.ptr(3) + b * s_.o_batch + at, args_.ptr(4) + index * s_.queries, args_.ptr(5) + b * do_batch_ + at,
				output(6, s_.queries), output(7, s_.keys), output(8, s_.keys), pitch};
	}

	// dk and dv of key tiles [first, last) of one head, and what those keys add to dqᵀ [query block][width][query_rows_].
	void keys(int64_t index, int64_t first, int64_t last, float* dqT, const Workspace& w) const {
		const Head at = head(index);
		const int64_t end = min_of(last * kTileRows, s_.keys), width = s_.width;
		for (int64_t k0 = first * kTileRows; k0 < end; k0 += key_rows_) {
			const int64_t rows = min_of(key_rows_, end - k0);
			copy_rows(at.k + k0 * s_.k_pitch, s_.k_pitch, rows, width, 1, w.k, width);
			if (at.dq || at.dk) copy_rows(at.v + k0 * s_.v_pitch, s_.v_pitch, rows, width, 1, w.v, width);
			if (at.dq) pack_transposed(at.k + k0 * s_.k_pitch, s_.k_pitch, rows, width, w.kT, key_stride());
			// Causal: the blocks of queries before the first key see none of these keys.
			const int64_t start = s_.causal ? min_of(k0 / query_rows_, query_blocks_) : 0;
			for (int64_t i = start; i < query_blocks_; i++) {
				pack_queries(at, i * query_rows_, w);
				block(at, i * query_rows_, k0, rows, i > start, w);
				if (at.dq) block_dq(rows, min_of(query_rows_, s_.queries - i * query_rows_), dqT + i * width * query_rows_, k0 > first * kTileRows, w);
			}
			if (at.dq && k0 == first * kTileRows)
				std::memset(dqT, 0, start * width * query_rows_ * sizeof(float));
			const bool any = start < query_blocks_;
			if (at.dk) finish(w.dk, any, rows, scale_, at.dk + k0 * at.pitch, at.pitch);
			if (at.dv) finish(w.dv, any, rows, 1, at.dv + k0 * at.pitch, at.pitch);
		}
	}

	int64_t key_stride() const { return round_up(key_rows_, kLanes); }

	void finish(const float* accumulated, bool any, int64_t rows, float factor, float* to, int64_t pitch) const {
		if (any) return copy_rows(accumulated, padded_, rows, s_.width, factor, to, pitch);
		for (int64_t r = 0; r < rows; r++) std::memset(to + r * pitch, 0, s_.width * sizeof(float));
	}

	void pack_queries(const Head& at, int64_t q0, const Workspace& w) const {
		const int64_t n = min_of(query_rows_, s_.queries - q0), width = s_.width;
		const float *q = at.q + q0 * s_.q_pitch, *dout = at.dout + q0 * do_pitch_, *o = at.o + q0 * s_.o_pitch;
		const bool dp = at.dq || at.dk;
		pack_row_panels(q, s_.q_pitch, n, width, w.qT);
		if (dp) pack_row_panels(dout, do_pitch_, n, width, w.doT);
		if (at.dk) pack_column_panels(q, s_.q_pitch, n, width, w.q, query_rows_);
		if (at.dv) pack_column_panels(dout, do_pitch_, n, width, w.dout, query_rows_);
		for (int64_t i = 0; i < round_up(n, kLanes); i++) {
			// A query that does not exist has probability 2^−1e30 = 0.
			w.minus_lse[i] = i < n ? (float)(at.lse[q0 + i] / -kLn2) : -1e30f;
			w.delta[i] = i < n && dp ? dot(dout + i * do_pitch_, o + i * s_.o_pitch, width) : 0;
		}
	}

	// Pᵀ and dSᵀ of a block of keys against the packed block of queries, and their parts of dv and dk.
	void block(const Head& at, int64_t q0, int64_t k0, int64_t key_count, bool accumulate, const Workspace& w) const {
		const int64_t n = min_of(query_rows_, s_.queries - q0), width = s_.width, columns = round_up(n, kLanes);
		const bool dp = at.dq || at.dk;
		for (int64_t j = 0; j < key_count; j += kTileRows) {
			const int count = (int)min_of(kTileRows, key_count - j);
			const float *k_row[kTileRows], *v_row[kTileRows], *p_row[kTileRows], *ds_row[kTileRows];
			for (int r = 0; r < count; r++) {
				k_row[r] = w.k + (j + r) * width;
				v_row[r] = w.v + (j + r) * width;
				p_row[r] = w.p + r * query_rows_;
				ds_row[r] = w.ds + r * query_rows_;
			}
			for (int64_t i = 0; i < columns; i += kTileCols) {
				const TileFn tile = tile_for(count, panel_width(n - i));
				tile(width, k_row, w.qT + i * width, w.p + i, query_rows_, false);
				if (dp) tile(width, v_row, w.doT + i * width, w.ds + i, query_rows_, false);
			}
			for (int r = 0; r < count; r++) {
				const int64_t hidden = s_.causal ? max_of(0, min_of(columns, k0 + j + r - q0)) : 0;  // queries of the block before this key
				scores_to_gradients(w.p + r * query_rows_, dp ? w.ds + r * query_rows_ : nullptr, columns, hidden, w);
				if (at.dq)
					for (int64_t i = 0; i < columns; i += kTileCols) {
						const int64_t padded = panel_width(n - i);
						for (int64_t l = 0; l < padded; l += kLanes)
							store(w.ds_panels + i * key_rows_ + (j + r) * padded + l, load(w.ds + r * query_rows_ + i + l));
					}
			}
			for (int64_t d = 0; d < padded_; d += kTileCols) {
				const TileFn tile = tile_for(count, panel_width(width - d));
				if (at.dv) tile(n, p_row, w.dout + d * query_rows_, w.dv + j * padded_ + d, padded_, accumulate);
				if (at.dk) tile(n, ds_row, w.q + d * query_rows_, w.dk + j * padded_ + d, padded_, accumulate);
			}
		}
	}

	// One key's row: scores become probabilities, do · v becomes dS. The first `hidden` queries do not see the key.
	void scores_to_gradients(float* p_row, float* ds_row, int64_t columns, int64_t hidden, const Workspace& w) const {
		const vf c = set1(c_);
		for (int64_t i = 0; i < columns; i += kLanes) store(p_row + i, exp2_flushed(fma(load(p_row + i), c, load(w.minus_lse + i))));
		for (int64_t i = 0; i < hidden; i++) p_row[i] = 0;
		if (!ds_row) return;
		for (int64_t i = 0; i < columns; i += kLanes) store(ds_row + i, load(p_row + i) * (load(ds_row + i) - load(w.delta + i)));
	}

	void block_dq(int64_t key_count, int64_t n, float* dqT, bool accumulate, const Workspace& w) const {
		for (int64_t i = 0; i < n; i += kTileCols)
			for (int64_t d = 0; d < s_.width; d += kTileRows) {
				const int count = (int)min_of(kTileRows, s_.width - d);
				const float* rows[kTileRows];
				for (int r = 0; r < count; r++) rows[r] = w.kT + (d + r) * key_stride();
				tile_for(count, panel_width(n - i))(key_count, rows, w.ds_panels + i * key_rows_, dqT + d * query_rows_ + i, query_rows_, accumulate);
			}
	}

	// dq of one block of queries (+)= scale · (dqᵀ)ᵀ.
	template <bool Add>
	void add_dq(int64_t index, int64_t i, const float* dqT) const {
		const Head at = head(index);
		const int64_t q0 = i * query_rows_, n = min_of(query_rows_, s_.queries - q0);
		const float* from = dqT + i * s_.width * query_rows_;
		for (int64_t q = 0; q < n; q += kLanes)
			for (int64_t d = 0; d < s_.width; d += kLanes) {
				const int64_t part = min_of(kLanes, s_.width - d);
				vf tile[kLanes];
				for (int r = 0; r < kLanes; r++) tile[r] = r < part ? load(from + (d + r) * query_rows_ + q) : zero();
				transpose_block(tile);
				for (int r = 0; r < min_of(kLanes, n - q); r++) {
					float* to = at.dq + (q0 + q + r) * at.pitch + d;
					const vf value = tile[r] * set1(scale_);
					if (part == kLanes) store(to, Add ? load(to) + value : value);
					else store_n(to, Add ? load_n(to, part) + value : value, part);
				}
			}
	}

	const AttentionShape s_;
	const int64_t do_pitch_, do_batch_;
	const float scale_, c_;
	const int64_t padded_, query_rows_, key_rows_, key_tiles_, query_blocks_;
	const KernelArgs& args_;
};

}  // namespace

void attention_grad(const KernelArgs& args, ThreadTeam& team) {
	if (!AttentionShape(args).empty() && (args.ptr(6) || args.ptr(7) || args.ptr(8))) Backward(args).run(team);
}

int64_t attention_grad_scratch(const KernelArgs& args, int threads) {
	const AttentionShape s(args);
	return s.empty() ? 0 : threads * slot_floats(s) * (int64_t)sizeof(float);
}

}  // namespace dreamdist::cpu::DD_ISA
