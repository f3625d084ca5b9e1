// Metrics against values worked out by hand or by plainer means.
import { hashedNumber } from "@dreamdist/models";
import { describe, expect, test } from "vitest";
import {
	type FeatureSet,
	featureSet,
	frechetDistance,
	gaussianDistance,
	kernelDistance,
	kernelDistanceOfSubsets,
	likeness,
	manifoldReadings,
	manifoldScores,
	neighboursFor,
	SeededRandom,
	selfLikeness,
	vendiScore,
} from "../src/index.js";
import { eachRowOfProducts, rowProducts, transposed } from "../src/linear-algebra/products.js";
import { choleskyFactor, singularValues, symmetricEigenvalues } from "../src/linear-algebra/spectrum.js";
import {
	productsOf,
	ResampledKernel,
	resampledFrechet,
	resampledPairs,
	resampledVendi,
} from "../src/metrics/resampled.js";
import { quantile } from "../src/statistics/bootstrap.js";

const noise = (length: number, salt: number) => Float64Array.from({ length }, (_, i) => hashedNumber(i, 0, salt));
const set = (rows: number, width: number, salt: number) => featureSet(noise(rows * width, salt), width);
const all = (n: number) => Int32Array.from({ length: n }, (_, i) => i);

describe("linear algebra", () => {
	test.each([
		[1, 1, 1],
		[3, 5, 7],
		[9, 4, 33],
		[66, 301, 10],
	])("products of %i and %i rows of %i", (n, m, width) => {
		const [a, b] = [noise(n * width, 1), noise(m * width, 2)];
		const plain = Float64Array.from({ length: n * m }, (_, at) => {
			let sum = 0;
			for (let k = 0; k < width; k++) sum += a[Math.floor(at / m) * width + k]! * b[(at % m) * width + k]!;
			return sum;
		});
		const products = rowProducts(a, b, width);
		expect(Math.max(...products.map((value, i) => Math.abs(value - plain[i]!)))).toBeLessThan(1e-12);
		const rows: number[] = [];
		eachRowOfProducts(a, b, width, (row, values) => {
			rows.push(row);
			expect(values.every((value, j) => value === products[row * m + j])).toBe(true);
		});
		expect(rows).toEqual([...all(n)]);
		// Of a matrix with itself one half is copied.
		expect(rowProducts(a, a, width)).toEqual(rowProducts(a, a.slice(), width));
	});

	test.each([1, 2, 3, 8, 40])("eigenvalues of a symmetric matrix of %i rows", (n) => {
		const half = noise(n * n, 3);
		const matrix = half.map((value, at) => value + half[(at % n) * n + Math.floor(at / n)]!);
		const values = symmetricEigenvalues(matrix, n);
		const trace = all(n).reduce((sum, i) => sum + matrix[i * n + i]!, 0);
		expect(values.reduce((a, b) => a + b, 0)).toBeCloseTo(trace, 10);
		expect(values.reduce((a, b) => a + b * b, 0)).toBeCloseTo(
			matrix.reduce((a, b) => a + b * b, 0),
			8,
		);
		expect([...values].sort((a, b) => a - b)).toEqual([...values]);
	});

	test("eigenvalues that are known: a chain of springs, and repeated ones", () => {
		const n = 12;
		const chain = Float64Array.from({ length: n * n }, (_, at) => {
			const distance = Math.abs(Math.floor(at / n) - (at % n));
			return distance === 0 ? 2 : distance === 1 ? -1 : 0;
		});
		symmetricEigenvalues(chain, n).forEach((value, k) => {
			expect(value).toBeCloseTo(2 - 2 * Math.cos(((k + 1) * Math.PI) / (n + 1)), 12);
		});
		expect([...symmetricEigenvalues(Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 3), 3)]).toEqual([1, 1, 3]);
		expect([...symmetricEigenvalues(new Float64Array(16), 4)]).toEqual([0, 0, 0, 0]);
	});

	test("small singular values are as exact as large ones", () => {
		// Orthogonal on both sides: reflections of a diagonal matrix.
		const n = 6;
		const sizes = [1e3, 5, 1, 1e-3, 1e-9, 0];
		const mirror = (salt: number) => {
			const v = noise(n, salt);
			const scale = 2 / v.reduce((sum, x) => sum + x * x, 0);
			return (i: number, j: number) => (i === j ? 1 : 0) - scale * v[i]! * v[j]!;
		};
		const [left, right] = [mirror(5), mirror(6)];
		const matrix = Float64Array.from({ length: n * n }, (_, at) => {
			let sum = 0;
			for (let k = 0; k < n; k++) sum += left(Math.floor(at / n), k) * sizes[k]! * right(k, at % n);
			return sum;
		});
		singularValues(matrix, n).forEach((value, k) => {
			expect(Math.abs(value - sizes[k]!)).toBeLessThan(1e-12);
		});
	});

	test("singular values of tall, wide and empty matrices", () => {
		const wide = noise(3 * 8, 7);
		expect(singularValues(wide, 8)).toHaveLength(3);
		singularValues(wide, 8).forEach((value, i) => {
			expect(value).toBeCloseTo(singularValues(transposed(wide, 8), 3)[i]!, 12);
		});
		const squares = symmetricEigenvalues(rowProducts(wide, wide, 8), 3);
		singularValues(wide, 8).forEach((value, i) => {
			expect(value ** 2).toBeCloseTo(squares[2 - i]!, 12);
		});
		expect([...singularValues(new Float64Array(6), 2)]).toEqual([0, 0]);
		expect(singularValues(Float64Array.of(-4), 1)[0]).toBeCloseTo(4, 14);
	});

	test("Cholesky's factor of a matrix, singular or not", () => {
		for (const rows of [9, 3]) {
			const x = noise(rows * 5, 8);
			const columns = transposed(x, 5);
			const matrix = rowProducts(columns, columns, rows);
			const l = choleskyFactor(matrix, 5);
			rowProducts(l, l, 5).forEach((value, i) => {
				expect(value).toBeCloseTo(matrix[i]!, 12);
			});
		}
	});
});

/** A set whose features are these numbers, one each. */
const line = (...values: number[]): FeatureSet => featureSet(Float64Array.from(values), 1);

describe("the Fréchet distance", () => {
	test("of one feature is (μ₁ − μ₂)² + (σ₁ − σ₂)²", () => {
		const [a, b] = [line(1, 2, 3, 6), line(4, 8)];
		const { distance, meanTerm, traceSqrt } = frechetDistance(a, b);
		const [spreadA, spreadB] = [Math.sqrt(14 / 3), Math.sqrt(8)];
		expect(meanTerm).toBeCloseTo(9, 12);
		expect(traceSqrt).toBeCloseTo(spreadA * spreadB, 12);
		expect(distance).toBeCloseTo(9 + (spreadA - spreadB) ** 2, 12);
	});

	test("is 0 of a set to itself, with few pictures or many", () => {
		for (const rows of [3, 30]) expect(frechetDistance(set(rows, 8, 1), set(rows, 8, 1)).distance).toBeCloseTo(0, 10);
	});

	test("does not depend on whether covariances are factored or pictures are", () => {
		// Features of zeros change nothing but the way it is computed.
		const widen = ({ rows, width, data }: FeatureSet) => {
			const wide = new Float64Array(rows * 64);
			for (let i = 0; i < rows; i++) wide.set(data.subarray(i * width, (i + 1) * width), i * 64);
			return featureSet(wide, 64);
		};
		const [a, b] = [set(40, 12, 1), set(25, 12, 2)];
		expect(frechetDistance(widen(a), widen(b)).distance).toBeCloseTo(frechetDistance(a, b).distance, 10);
	});

	test("from products alone is the same", () => {
		const [a, b] = [set(7, 20, 1), set(12, 20, 2)];
		expect(resampledFrechet(productsOf(a, b), all(12))).toBeCloseTo(frechetDistance(a, b).distance, 10);
	});

	test("refuses what has no covariance, or another width", () => {
		expect(() => frechetDistance(line(1), line(1, 2))).toThrow(/needs 2 real pictures or more, and there is 1/);
		expect(() => frechetDistance(line(1, 2), set(3, 2, 1))).toThrow(/width 1 and 2 can't be compared/);
		expect(() => line(1, Number.NaN)).toThrow(/picture 1 has a feature that is not a number/);
	});
});

describe("kernel distances", () => {
	test("KID by hand", () => {
		const kernel = (x: number, y: number) => (x * y + 1) ** 3;
		const expected =
			kernel(1, 2) +
			(kernel(3, 4) + kernel(3, 5) + kernel(4, 5)) / 3 -
			(2 * [1, 2].flatMap((x) => [3, 4, 5].map((y) => kernel(x, y))).reduce((a, b) => a + b)) / 6;
		expect(kernelDistance(line(1, 2), line(3, 4, 5))).toBeCloseTo(expected, 10);
		const subsets = kernelDistanceOfSubsets(line(1, 2, 9), line(3, 4, 5), {
			real: [0, 1, 1, 0],
			generated: [0, 1, 0, 1],
			size: 2,
		});
		expect(subsets.std).toBeCloseTo(0, 10);
		expect(subsets.mean).toBeCloseTo(kernelDistance(line(1, 2), line(3, 4)), 10);
	});

	test("CMMD by hand, and nothing between equal sets", () => {
		const k = (d: number) => Math.exp(-(d * d) / 200);
		const expected = 1000 * ((2 + 2 * k(3)) / 4 + 1 - (2 * (k(7) + k(4))) / 2);
		expect(gaussianDistance(line(0, 3), line(7), { normalize: false })).toBeCloseTo(expected, 10);
		expect(gaussianDistance(set(4, 5, 1), set(4, 5, 1))).toBeCloseTo(0, 10);
	});

	test("from kernel values alone are the same", () => {
		const [a, b] = [set(6, 9, 1), set(8, 9, 2)];
		const { n, m, real, between, generated } = productsOf(a, b);
		const kernel = (values: Float64Array) => values.map((product) => (product / 9 + 1) ** 3);
		const resampled = new ResampledKernel(n, m, kernel(real), kernel(between), kernel(generated), false);
		expect(resampled.distance(all(8))).toBeCloseTo(kernelDistance(a, b), 10);
	});
});

describe("neighbourhoods", () => {
	test("on a line, by hand", () => {
		// Real pictures at 0, 1, 3, 7: to their nearest other it is 1, 1, 2, 4. Generated at 0.5, 4.5, 20: 4, 4, 15.5.
		const readings = manifoldReadings(line(0, 1, 3, 7), line(0.5, 4.5, 20), 1);
		expect([...readings.precision]).toEqual([1, 1, 0]);
		expect([...readings.density]).toEqual([2, 2, 0]);
		expect([...readings.recall]).toEqual([1, 1, 1, 1]);
		expect([...readings.coverage]).toEqual([1, 1, 1, 1]);
		expect(manifoldScores(readings)).toEqual({ precision: 2 / 3, recall: 1, density: 4 / 3, coverage: 1 });
		// A picture on the border of a neighbourhood is outside.
		expect(manifoldReadings(line(0, 1), line(2, 30), 1).precision[0]).toBe(0);
	});

	test("shrink with the number of pictures, and need three", () => {
		expect([3, 5, 6, 7, 40].map((n) => neighboursFor(n, 40))).toEqual([1, 3, 4, 5, 5]);
		expect(neighboursFor(2, 40)).toBeNull();
		expect(() => manifoldReadings(line(1, 2), line(1, 2, 3), 2)).toThrow(/2 and 3 pictures have no 2 neighbours/);
	});
});

describe("likeness and number of kinds", () => {
	test("cosines and the nearest real picture", () => {
		const real = featureSet(Float64Array.of(1, 0, 0, 2), 2);
		const { mean, nearest, nearestIndex } = likeness(real, featureSet(Float64Array.of(3, 0, 3, 4), 2));
		expect(mean[0]).toBeCloseTo(0.5, 12);
		expect(mean[1]).toBeCloseTo(0.7, 12);
		expect([nearest[0], nearest[1]].map((x) => x!.toFixed(9))).toEqual(["1.000000000", "0.800000000"]);
		expect([...nearestIndex]).toEqual([0, 1]);
		expect(selfLikeness(featureSet(Float64Array.of(1, 0, 3, 4, 0, 0), 2))).toBeCloseTo(0.2, 12);
	});

	test("the Vendi score is n of pictures that share nothing, and 1 of copies", () => {
		const identity = Float64Array.from({ length: 25 }, (_, at) => (at % 6 === 0 ? 3 : 0));
		expect(vendiScore(featureSet(identity, 5))).toBeCloseTo(5, 10);
		expect(vendiScore(featureSet(new Float64Array(12).fill(2), 3))).toBeCloseTo(1, 10);
		// Many pictures of few features.
		const many = set(50, 4, 3);
		const rows = rowProducts(many.data, many.data, 4);
		const cosines = rows.map((v, at) => v / Math.sqrt(rows[Math.floor(at / 50) * 51]! * rows[(at % 50) * 51]!));
		expect(vendiScore(many)).toBeCloseTo(resampledVendi(cosines, 50, all(50)), 9);
	});

	test("pairs of a resample leave out a picture with itself", () => {
		const matrix = Float64Array.of(0, 5, 5, 0);
		expect(resampledPairs(matrix, 2, Int32Array.of(0, 1))).toBe(5);
		expect(resampledPairs(matrix, 2, Int32Array.of(0, 0))).toBe(0);
	});
});

test("random numbers are those of the seed, and quantiles lie between", () => {
	const [a, b, c] = [new SeededRandom(3), new SeededRandom(3), new SeededRandom(3, 1)];
	const first = Array.from({ length: 9 }, () => a.next());
	expect(Array.from({ length: 9 }, () => b.next())).toEqual(first);
	expect(Array.from({ length: 9 }, () => c.next())).not.toEqual(first);
	expect(new SeededRandom(1).shuffle(20).sort((x, y) => x - y)).toEqual([...all(20)]);
	expect(quantile([0, 1, 2, 3], 0.5)).toBe(1.5);
	expect(quantile([4], 0.9)).toBe(4);
});
