// The names that may stand in a PyTorch file, and what each makes. Whatever is not here is refused.
import { PickleError } from "../pickle/byte-reader.js";
import type { PickleReader } from "../pickle/machine.js";
import { PickleGlobal, PickleObject, PickleTuple, type PickleValue, pickleKind } from "../pickle/values.js";
import type { SafetensorsDtype } from "../safetensors/dtype.js";
import { TorchStorage, TorchTensor } from "./tensor.js";

/** Element types by the class of their storage. */
const STORAGES: Readonly<Record<string, SafetensorsDtype>> = {
	DoubleStorage: "F64",
	FloatStorage: "F32",
	HalfStorage: "F16",
	BFloat16Storage: "BF16",
	LongStorage: "I64",
	IntStorage: "I32",
	ShortStorage: "I16",
	CharStorage: "I8",
	ByteStorage: "U8",
	BoolStorage: "BOOL",
	ComplexFloatStorage: "C64",
	Float8_e4m3fnStorage: "F8_E4M3",
	Float8_e5m2Storage: "F8_E5M2",
};

/** Element types by their own names, in files with storages of bytes. */
const DTYPES: Readonly<Record<string, SafetensorsDtype>> = {
	float64: "F64",
	float32: "F32",
	float16: "F16",
	bfloat16: "BF16",
	int64: "I64",
	int32: "I32",
	int16: "I16",
	int8: "I8",
	uint8: "U8",
	bool: "BOOL",
	complex64: "C64",
	float8_e4m3fn: "F8_E4M3",
	float8_e5m2: "F8_E5M2",
};

const MAX_SIDES = 64;

/** What calls may copy in all, in bytes and entries: a few instructions can name the same large value again and again. */
const MAX_COPIED = 2 ** 24;

/** Counts what is copied. */
type Copying = (amount: number) => void;
type Call = (args: readonly PickleValue[], copying: Copying) => PickleValue;

const inert =
	(module: string, name: string): Call =>
	(args) =>
		new PickleObject(new PickleGlobal(module, name), args);

/** What a call of each name gives. */
const CALLS = new Map<string, Call>([
	["collections.OrderedDict", orderedDictionary],
	["collections.defaultdict", () => new Map()],
	["torch._utils._rebuild_tensor", (args) => rebuildTensor(args, null)],
	["torch._utils._rebuild_tensor_v2", (args) => rebuildTensor(args, null)],
	["torch._utils._rebuild_tensor_v3", rebuildTypedTensor],
	["torch._utils._rebuild_parameter", (args) => tensorOf(args[0])],
	["torch._utils._rebuild_parameter_with_state", (args) => tensorOf(args[0])],
	["torch._tensor._rebuild_from_type_v2", rebuildFromType],
	["torch.Size", (args) => (args[0] instanceof PickleTuple ? args[0] : new PickleTuple([]))],
	["torch.device", ([name]) => (typeof name === "string" ? name : null)],
	["_codecs.encode", encode],
	["__builtin__.set", set],
	["builtins.set", set],
	["__builtin__.bytearray", byteArray],
	["builtins.bytearray", byteArray],
	// What checkpoints carry beside their tensors: kept as names with data.
	...(
		[
			["argparse", "Namespace"],
			["torch.nn.modules.container", "ParameterDict"],
			["numpy", "dtype"],
			["numpy.core.multiarray", "scalar"],
			["numpy.core.multiarray", "_reconstruct"],
			["numpy._core.multiarray", "scalar"],
			["numpy._core.multiarray", "_reconstruct"],
		] as const
	).map(([module, name]): [string, Call] => [`${module}.${name}`, inert(module, name)]),
	// Protocol 2's way to make an object of any class: the class has to be one of these too.
	["copy_reg._reconstructor", reconstruct],
	["copyreg._reconstructor", reconstruct],
]);

/** Names that may stand as arguments, and mean nothing when they are called. */
const ARGUMENTS = new Set([
	"torch.Tensor",
	"torch.nn.parameter.Parameter",
	"torch.storage.UntypedStorage",
	"torch.storage._UntypedStorage",
	"torch.storage.TypedStorage",
	"torch.strided",
	"numpy.ndarray",
	"__builtin__.object",
	"builtins.object",
	"__builtin__.int",
	"builtins.int",
	"__builtin__.list",
	"builtins.list",
	"builtins.float",
	"builtins.dict",
]);

const isDtype = ({ module, name }: PickleGlobal) => module === "torch" && Object.hasOwn(DTYPES, name);

/** The dtype that a storage's class stands for; null for bytes; undefined where it is no storage. */
function storageDtype(type: PickleValue | undefined): SafetensorsDtype | null | undefined {
	if (!(type instanceof PickleGlobal)) return undefined;
	if (type.module === "torch.storage") return type.name.endsWith("UntypedStorage") ? null : undefined;
	return type.module === "torch" && Object.hasOwn(STORAGES, type.name) ? STORAGES[type.name] : undefined;
}

/** Reads the names of a PyTorch file; `storages` collects those it has met, by their keys. */
export class TorchReader implements PickleReader {
	readonly storages = new Map<string, TorchStorage>();
	private copied = 0;

	knows(name: PickleGlobal): boolean {
		const full = String(name);
		return CALLS.has(full) || ARGUMENTS.has(full) || isDtype(name) || storageDtype(name) !== undefined;
	}

	call(name: PickleGlobal, args: readonly PickleValue[]): PickleValue {
		return callByName(name, args, (amount) => {
			this.copied += amount;
			if (this.copied > MAX_COPIED) throw new PickleError("it makes more of its values than a file of tensors does");
		});
	}

	/** ("storage", class, key, location, elements), in old files with the part of it that is meant. */
	persistent(id: PickleValue): PickleValue {
		if (!(id instanceof PickleTuple)) throw new PickleError(`it refers to a storage by ${pickleKind(id)}`);
		const [kind, type, key, , count, view] = id.items;
		const dtype = storageDtype(type);
		if (kind !== "storage" || dtype === undefined)
			throw new PickleError(`it refers to ${pickleKind(type)} outside of it, which is no storage that is read here`);
		if (typeof key !== "string" || !isCount(count))
			throw new PickleError("it refers to a storage without a name or a size");
		const known = this.storages.get(key);
		if (known && (known.dtype !== dtype || known.count !== count))
			throw new PickleError(`it describes its storage "${key.slice(0, 40)}" in two ways`);
		const storage = known ?? new TorchStorage(dtype, key, count);
		this.storages.set(key, storage);
		if (view === undefined || view === null) return storage;
		const [, offset, size] = view instanceof PickleTuple ? view.items : [];
		if (!isCount(offset) || !isCount(size) || offset + size > count)
			throw new PickleError("it refers to a part of a storage that is not there");
		return new TorchStorage(dtype, key, size, offset);
	}
}

function callByName(name: PickleGlobal, args: readonly PickleValue[], copying: Copying): PickleValue {
	const call = CALLS.get(String(name));
	if (!call) throw new PickleError(`it makes an object of ${name}, which is not read here`);
	return call(args, copying);
}

function isCount(value: PickleValue | undefined): value is number {
	return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function counts(value: PickleValue | undefined, what: string): number[] {
	if (!(value instanceof PickleTuple) || value.items.length > MAX_SIDES || !value.items.every(isCount))
		throw new PickleError(`it has a tensor whose ${what} is no tuple of whole numbers`);
	return value.items as number[];
}

function tensorOf(value: PickleValue | undefined): TorchTensor {
	if (value instanceof TorchTensor) return value;
	throw new PickleError(`it has ${pickleKind(value)} where a tensor should be`);
}

/** (storage, offset, size, stride, …): what follows is about gradients. */
function rebuildTensor(args: readonly PickleValue[], dtype: SafetensorsDtype | null): TorchTensor {
	const [storage, offset, size, stride] = args;
	if (!(storage instanceof TorchStorage)) throw new PickleError(`it has a tensor of ${pickleKind(storage)}`);
	if (!isCount(offset)) throw new PickleError("it has a tensor whose offset is no whole number");
	const shape = counts(size, "shape");
	const strides = counts(stride, "stride");
	if (strides.length !== shape.length) throw new PickleError("it has a tensor of more sides than strides, or fewer");
	return new TorchTensor(storage, dtype, storage.viewOffset + offset, shape, strides);
}

/** Version 3 adds the dtype: the storage is of bytes. */
function rebuildTypedTensor(args: readonly PickleValue[]): TorchTensor {
	const dtype = args[6];
	if (!(dtype instanceof PickleGlobal && isDtype(dtype)))
		throw new PickleError(`it has a tensor of the type ${pickleKind(dtype)}`);
	return rebuildTensor(args, DTYPES[dtype.name]!);
}

/** (function, type, its arguments, state): a subclass of Tensor, of which the tensor is kept. */
function rebuildFromType([name, , args]: readonly PickleValue[], copying: Copying): TorchTensor {
	if (!(name instanceof PickleGlobal) || !(args instanceof PickleTuple) || !String(name).startsWith("torch._utils."))
		throw new PickleError("it has a tensor that is rebuilt in a way that is not read here");
	return tensorOf(callByName(name, args.items, copying));
}

function orderedDictionary([pairs]: readonly PickleValue[], copying: Copying): Map<PickleValue, PickleValue> {
	const map = new Map<PickleValue, PickleValue>();
	if (pairs === undefined) return map;
	if (!Array.isArray(pairs)) throw new PickleError(`it makes a dict of ${pickleKind(pairs)}`);
	copying(pairs.length);
	for (const pair of pairs) {
		const items = pair instanceof PickleTuple ? pair.items : Array.isArray(pair) ? pair : [];
		if (items.length !== 2) throw new PickleError("it makes a dict of other than pairs");
		map.set(items[0]!, items[1]!);
	}
	return map;
}

/** How protocol 2 writes bytes. */
function encode([text, encoding]: readonly PickleValue[], copying: Copying): PickleValue {
	if (typeof text !== "string" || encoding !== "latin1")
		throw new PickleError("it has text in an encoding not read here");
	copying(text.length);
	return new Uint8Array(Buffer.from(text, "latin1"));
}

/** Of bytes, or in protocol 2 of text with its encoding. */
function byteArray(args: readonly PickleValue[], copying: Copying): PickleValue {
	const [bytes] = args;
	if (bytes instanceof Uint8Array) return bytes;
	return typeof bytes === "string" ? encode(args, copying) : new Uint8Array();
}

function set([items]: readonly PickleValue[], copying: Copying): PickleValue {
	if (Array.isArray(items)) copying(items.length);
	return new Set(Array.isArray(items) ? items : []);
}

function reconstruct([type]: readonly PickleValue[], copying: Copying): PickleValue {
	if (!(type instanceof PickleGlobal)) throw new PickleError(`it makes an object of ${pickleKind(type)}`);
	return callByName(type, [], copying);
}
