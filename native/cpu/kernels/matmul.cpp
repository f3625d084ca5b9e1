// U = alpha · op(A) · op(B) + bias; C = act(U) + residual, per batch; and the packer of linear weights.
#include "few_rows.h"
#include "outer_product.h"
#include "pack.h"
#include "table.h"

namespace dreamdist::cpu::DD_ISA {

namespace {

struct Shape {
	int64_t batch, M, N, K;
	bool trans_a, trans_b;
	int64_t lda, ldb, ldc, a_batch, b_batch, c_batch;
	int act;
	int64_t packed, ldr, r_batch;
	explicit Shape(std::span<const int64_t> i)
		: batch(i[0]), M(i[1]), N(i[2]), K(i[3]), trans_a(i[4]), trans_b(i[5]), lda(i[6]), ldb(i[7]), ldc(i[8]), a_batch(i[9]),
		  b_batch(i[10]), c_batch(i[11]), act((int)i[12]), packed(i[13]), ldr(i[14]), r_batch(i[15]) {}
};

struct MatrixRows {
	const float* a;
	int64_t lda;
	Cut cut;
	int64_t segments() const { return cut.pieces; }
	int64_t length(int64_t s) const { return cut.length(s); }
	int64_t row_bytes() const { return cut.depth * 4; }
	int64_t max_rows() const { return kBandRows; }
	void rows(int64_t first, int64_t count, const float** table) const {
		for (int64_t s = 0; s < cut.pieces; s++)
			for (int64_t i = 0; i < count; i++) table[s * count + i] = a + (first + i) * lda + cut.start(s);
	}
};

// A stored [K, M]: a band of rows is transposed into `buffer` first.
struct TransposedRows {
	const float* a;
	int64_t lda, M;
	Cut cut;
	float* buffer;
	static int64_t pitch(int64_t depth) { return round_up(depth, kLanes) + kLanes; }
	static int64_t band(int64_t depth) { return max_of(min_of((2 << 20) / (pitch(depth) * 4), kBandRows) / kLanes, 1) * kLanes; }
	int64_t segments() const { return cut.pieces; }
	int64_t length(int64_t s) const { return cut.length(s); }
	int64_t row_bytes() const { return cut.depth * 4; }
	int64_t max_rows() const { return band(cut.depth); }
	void rows(int64_t first, int64_t count, const float** table) const {
		const int64_t step = pitch(cut.depth);
		for (int64_t k = 0; k < cut.depth; k += kLanes)
			for (int64_t i = 0; i < count; i += kLanes)
				transpose_into<Storage<DType::f32>>(buffer + i * step + k, step, a + k * lda + first + i, lda, min_of(kLanes, cut.depth - k), count - i);
		for (int64_t s = 0; s < cut.pieces; s++)
			for (int64_t i = 0; i < count; i++) table[s * count + i] = buffer + i * step + cut.start(s);
	}
};

// W itself: a column of the product is a column of W, the reduction runs over its rows.
struct PackedRows {
	const Packed& weight;
	Cut cut;
	int64_t outputs_begin(int64_t s) const { return cut.start(s); }
	int64_t depth_row(int64_t) const { return 0; }
	bool made() const { return true; }
	Memory source(int64_t, const Panel&, int64_t) const { return {}; }
	const float* panel(int64_t, const Panel& panel, int64_t, int64_t, int64_t k0, int64_t k1, float* scratch) const {
		for (int r = 0; r < panel.runs; r++)
			weight.backward(panel.run[r].column, panel.run[r].columns, k0, k1, scratch + panel.run[r].offset, panel.width());
		return scratch;
	}
};

// A weight packed without interleave under geglu: columns are looked up one by one.
struct PackedLookup {
	const Packed& weight;
	bool made() const { return true; }
	Memory source(int64_t, const Panel&, int64_t) const { return {}; }
	const float* panel(int64_t, const Panel& panel, int64_t, int64_t, int64_t k0, int64_t k1, float* scratch) const {
		std::memset(scratch, 0, (k1 - k0) * panel.width() * sizeof(float));
		for (int64_t k = k0; k < k1; k++)
			for (int r = 0; r < panel.runs; r++)
				for (int64_t j = 0; j < panel.run[r].columns; j++)
					scratch[(k - k0) * panel.width() + panel.run[r].offset + j] = weight.at(panel.run[r].column + j, k);
		return scratch;
	}
};

struct PlainMatrix {
	const void* b;
	DType type;
	int64_t ldb;
	bool transposed;  // stored [N, K]
	bool made() const { return true; }
	Memory source(int64_t, const Panel&, int64_t) const { return {}; }
	const float* panel(int64_t, const Panel& panel, int64_t, int64_t, int64_t k0, int64_t k1, float* scratch) const {
		with_storage(type, [&]<class S>(S) {
			const auto* from = (const typename S::Element*)b;
			const int64_t width = panel.width();
			for (int r = 0; r < panel.runs; r++) {
				const Run& run = panel.run[r];
				float* to = scratch + run.offset;
				if (transposed) {
					for (int64_t k = k0; k < k1; k += kLanes)
						for (int64_t j = 0; j < run.columns; j += kLanes)
							transpose_into<S>(to + (k - k0) * width + j, width, from + (run.column + j) * ldb + k, ldb, run.columns - j, k1 - k);
				} else {
					for (int64_t k = k0; k < k1; k++)
						for (int64_t j = 0; j < run.columns; j += kLanes)
							store(to + (k - k0) * width + j, load_some<S>(from + k * ldb + run.column + j, run.columns - j));
				}
			}
		});
		return scratch;
	}
};

// A stored [K, M] against B stored [K, N], as in the gradient of a linear weight: nothing needs transposing.
struct TallRows {
	const float* a;
	int64_t lda;
	void pack(int64_t k, int64_t m, int64_t rows, float* to) const { copy_row(to, a + k * lda + m, rows); }
};
struct WideRows {
	const void* b;
	DType type;
	int64_t ldb;
	void chunk(int64_t, int64_t, int64_t) const {}
	void pack(int64_t k, const Run& run, float* to) const {
		with_storage(type, [&]<class S>(S) {
			const auto* from = (const typename S::Element*)b + k * ldb + run.column;
			for (int64_t j = 0; j < run.columns; j += kLanes) store(to + j, load_some<S>(from + j, run.columns - j));
		});
	}
};

struct MatrixOut {
	Epilogue epilogue;
	void index(int64_t first, int64_t rows, int64_t* to) const {
		for (int64_t i = 0; i < rows; i++) to[i] = first + i;
	}
	void store(int64_t first, int rows, const Panel& panel, const float* tile) const {
		int64_t places[kMaxRows];
		index(first, rows, places);
		epilogue.store_tile(places, rows, panel, tile);
	}
	void store(const OuterBlock& block) const {
		for (int64_t p = 0; p < block.panels(); p++)
			for (int64_t m = block.m0; m < block.m1; m += kMaxRows)
				store(m, (int)min_of(kMaxRows, block.m1 - m), block.panel(p), block.row(0, p, m));
	}
};

bool outer(const Shape& shape) { return shape.trans_a && !shape.trans_b && !shape.packed && shape.act != kGeglu; }
bool transposes(const Shape& shape) { return shape.trans_a && !outer(shape); }

bool takes_few_rows(const Shape& shape) {
	return shape.packed && !shape.trans_b && !shape.trans_a && shape.act != kGeglu && few_rows(shape.M, Cut(shape.K).pieces);
}

struct Scratch {
	Workspace work;
	FewRowsWorkspace few;
	OuterWorkspace outer;
	float* buffer;  // rows of a transposed A
	int64_t bytes;
	Scratch(Carver& carver, const Shape& shape)
		: work(carver, Cut(shape.K).pieces),
		  few(carver, takes_few_rows(shape)),
		  outer(carver),
		  buffer(transposes(shape) ? carver.take<float>(TransposedRows::band(shape.K) * TransposedRows::pitch(shape.K)) : nullptr),
		  bytes(carver.used) {}
};

template <class Body>
void with_rows(const Shape& shape, const float* a, float* buffer, Body&& body) {
	if (shape.trans_a) body(TransposedRows{a, shape.lda, shape.M, Cut(shape.K), buffer});
	else body(MatrixRows{a, shape.lda, Cut(shape.K)});
}

}  // namespace

void matmul(const KernelArgs& args, ThreadTeam& team) {
	Shape shape(args.ints);
	if (shape.batch <= 0 || shape.M <= 0 || shape.N <= 0) return;
	const float* a = args.ptr(0);
	const Operand b = args.at(1);
	const bool geglu = shape.act == kGeglu;
	// One product where B repeats and the batches follow each other.
	if (shape.batch > 1 && (shape.packed || shape.b_batch == 0) && !shape.trans_a && shape.a_batch == shape.M * shape.lda &&
		shape.c_batch == shape.M * shape.ldc && (!args.ptr(3) || shape.r_batch == shape.M * shape.ldr)) {
		shape.M *= shape.batch;
		shape.batch = 1;
	}
	const Columns columns{shape.N, geglu || (shape.packed == 2 && shape.trans_b)};
	const Packed weight{b.data, b.dtype, {shape.trans_b ? shape.N : shape.K, shape.packed == 2}, shape.trans_b ? shape.K : shape.N};
	const bool lookup = shape.packed && shape.trans_b && columns.interleave != weight.outputs.interleave;
	const int64_t panel_cost = shape.packed && shape.trans_b ? (b.dtype == DType::f32 ? 1 : 3) : 10;
	const int64_t panels = outer(shape) ? ceil_div(shape.N, kTileCols) : columns.panels();
	const Grid grid = choose_grid(shape.batch, takes_few_rows(shape) ? 1 : shape.M, panels, takes_few_rows(shape) ? shape.K * shape.M : shape.K, panel_cost, team.size());

	team.parallel_for(shape.batch * grid.parts(), 1, [&](int64_t begin, int64_t end, int thread) {
		auto carve = [&](Carver carver) { return Scratch(carver, shape); };
		const Scratch scratch = carve({(char*)team.scratch(thread, carve({nullptr}).bytes)});
		Workspace work = scratch.work;
		for (int64_t item = begin; item < end; item++) {
			const int64_t batch = item / grid.parts();
			const Share share = grid.share(item % grid.parts(), shape.M, panels);
			MatrixOut out{{args.ptr(4) + batch * shape.c_batch, shape.ldc, shape.N}};
			out.epilogue.alpha = (float)args.floats[0];
			out.epilogue.act = shape.act;
			out.epilogue.bias = args.ptr(2);
			if (args.ptr(3)) out.epilogue.residual = args.ptr(3) + batch * shape.r_batch;
			out.epilogue.residual_pitch = shape.ldr;
			if (args.ptr(5)) out.epilogue.preact = args.ptr(5) + batch * shape.M * shape.N;
			const void* from = (const char*)b.data + (shape.packed ? 0 : batch * shape.b_batch * bytes_of(b.dtype));
			if (outer(shape)) {
				WideRows wide{from, b.dtype, shape.ldb};
				outer_product(shape.K, 1, share.row_begin, share.row_end, share.panel_begin * kTileCols, min_of(share.panel_end * kTileCols, shape.N),
							  TallRows{a + batch * shape.a_batch, shape.lda}, wide, [&](const OuterBlock& block) { out.store(block); }, scratch.outer);
				continue;
			}
			if (takes_few_rows(shape)) {
				multiply_few_rows(MatrixRows{a + batch * shape.a_batch, shape.lda, Cut(shape.K)}, PackedRows{weight, Cut(shape.K)}, out, shape.M,
								  share.panel_begin * columns.full(), min_of(share.panel_end * columns.full(), shape.N), work, scratch.few);
				continue;
			}
			with_rows(shape, a + batch * shape.a_batch, scratch.buffer, [&](const auto& rows) {
				if (!shape.packed) multiply(rows, PlainMatrix{from, b.dtype, shape.ldb, shape.trans_b}, out, columns, share, work);
				else if (lookup) multiply(rows, PackedLookup{weight}, out, columns, share, work);
				else if (shape.trans_b) multiply(rows, PackedColumns{weight, 0}, out, columns, share, work);
				else multiply(rows, PackedRows{weight, Cut(shape.K)}, out, columns, share, work);
			});
		}
	});
}

int64_t matmul_packed_bytes(DType type, std::span<const int64_t> ints) {
	if (ints[2] && ints[0] % 2) throw Error("a weight interleaved for geglu needs an even number of rows");
	return Columns{ints[0], ints[2] != 0}.padded() * ints[1] * bytes_of(type);
}

void matmul_pack(const void* source, DType type, std::span<const int64_t> ints, void* packed, ThreadTeam& team) {
	const int64_t rows = ints[0], depth = ints[1];
	const Columns columns{rows, ints[2] != 0};
	// A chunk of a panel stays in L1 while its columns are written.
	constexpr int64_t kChunk = 256;
	const int64_t chunks = ceil_div(depth, kChunk);
	with_storage(type, [&]<class S>(S) {
		using Element = typename S::Element;
		team.parallel_for(columns.panels() * chunks, 1, [&](int64_t begin, int64_t end, int) {
			for (int64_t item = begin; item < end; item++) {
				const int64_t index = item / chunks, k0 = item % chunks * kChunk;
				pack_linear_panel<S>((const Element*)source, depth, columns.panel(index), k0, min_of(k0 + kChunk, depth),
									 (Element*)packed + columns.start(index) * depth);
			}
		});
	});
}

}  // namespace dreamdist::cpu::DD_ISA
