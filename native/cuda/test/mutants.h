// The faults that GPU_MUTANT plants into the specimens, and what has to notice each.
#pragma once

namespace dreamdist::specimen {

enum Catch {
	kEveryMode,  // in order, in reverse order, and by the race check
	kRaceOnly,   // only the race check can: threads are never preempted, so the result is right by luck
	kReverse,    // in reverse order and by the race check; in order the result is right by luck
	kNever,      // slow, not wrong
};

struct Mutant {
	int number;
	const char* cases;  // the cases that run the specimen
	const char* fault;
	Catch caught;
};

inline constexpr Mutant kMutants[] = {
	{1, "attention", "no barrier after the wait for the copies", kEveryMode},
	{2, "attention", "no barrier before a buffer is used again", kEveryMode},
	{3, "attention", "no wait for the copies", kEveryMode},
	{4, "attention", "waits for one group too few", kEveryMode},
	{5, "attention", "key mask off by one", kEveryMode},
	{6, "attention", "causal mask off by one", kEveryMode},
	{7, "conv", "no barrier in the main loop", kEveryMode},
	{8, "conv", "waits for one group too few", kEveryMode},
	{9, "conv", "the picture's bottom edge off by one", kEveryMode},
	{10, "conv", "copies into the stage that is being read", kEveryMode},
	{11, "group norm", "no barrier before the groups' sums", kEveryMode},
	{12, "group norm", "no barrier before the statistics are used", kEveryMode},
	{13, "group norm", "a barrier that only some threads reach", kEveryMode},
	{14, "attention", "registers of a fragment swapped", kEveryMode},
	{15, "attention", "accumulator not rescaled", kEveryMode},
	{16, "attention", "misaligned destination of an asynchronous copy", kEveryMode},
	{17, "group norm", "writes past the end of global memory", kEveryMode},
	{18, "attention", "no swizzle: bank conflicts", kEveryMode},
	{19, "attention", "the last commit left out", kEveryMode},
	{20, "attention", "stores rows that are not there", kEveryMode},
	{21, "probe warp", "no __syncwarp between write and read", kEveryMode},
	{22, "probe warp", "shuffle called by lanes outside its mask", kEveryMode},
	{24, "probe warp", "no __syncwarp between read and overwrite", kEveryMode},
	{25, "probe warp", "+= on shared memory instead of atomicAdd", kRaceOnly},
	{26, "probe global", "+= between blocks instead of atomicAdd", kRaceOnly},
	{27, "probe warp", "a shuffle taken for __syncwarp", kRaceOnly},
	{28, "conv", "accumulators not set to zero", kEveryMode},
	{29, "attention", "a loop's length per warp, around a block barrier", kEveryMode},
	{30, "probe global", "spins on a flag that another thread sets", kEveryMode},
	{31, "probe warp", "no barrier after a counter is set to zero", kReverse},
	{32, "conv", "waits for all groups", kNever},
	{33, "attention", "rows without any key not guarded", kEveryMode},
	{34, "conv", "reads 4 bytes past the end", kRaceOnly},
	{35, "probe warp", "half a warp waits at __syncwarp, half at the block barrier", kEveryMode},
};

}  // namespace dreamdist::specimen
