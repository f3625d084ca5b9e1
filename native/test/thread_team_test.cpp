// ThreadTeam: every index once, the same cuts each time, exceptions from any member, members that sleep, more members than cores.
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "harness.h"

namespace dreamdist::test {

TEST(thread_team_cuts_every_count_once) {
	for (int threads : {1, 2, 3, 7}) {
		ThreadTeam team(threads);
		CHECK(team.size() == threads);
		for (int64_t count : {0, 1, 2, 5, 64, 1000})
			for (int64_t grain : {1, 3, 64, 5000}) {
				std::vector<int> visits(count, 0);
				std::vector<std::pair<int64_t, int64_t>> cuts(threads, {-1, -1});
				team.parallel_for(count, grain, [&](int64_t begin, int64_t end, int thread) {
					CHECK(begin < end && begin % grain == 0 && (end % grain == 0 || end == count));
					cuts[thread] = {begin, end};
					for (int64_t i = begin; i < end; i++) visits[i]++;
				});
				for (int visited : visits) CHECK(visited == 1);
				auto again = cuts;
				for (auto& cut : again) cut = {-1, -1};
				team.parallel_for(count, grain, [&](int64_t begin, int64_t end, int thread) { again[thread] = {begin, end}; });
				CHECK(cuts == again);
			}
	}
}

TEST(thread_team_dynamic_visits_every_index_once) {
	for (int threads : {1, 3, 8}) {
		ThreadTeam team(threads);
		for (int64_t count : {0, 1, 2, 1000}) {
			std::vector<int> visits(count, 0);
			team.parallel_dynamic(count, [&](int64_t i, int thread) {
				CHECK(thread >= 0 && thread < threads);
				visits[i]++;
			});
			for (int visited : visits) CHECK(visited == 1);
		}
	}
}

// What one section wrote, the next one reads on other members: plain memory, ordered by the sections alone.
TEST(thread_team_many_tiny_sections) {
	for (int threads : {2, 3, 9}) {
		ThreadTeam team(threads);
		std::vector<int64_t> value(64, 0);
		const int64_t sections = threads > 4 ? 300 : t.scaled(5000);
		for (int64_t section = 0; section < sections; section++)
			team.parallel_for(64, 1, [&](int64_t begin, int64_t end, int) {
				for (int64_t i = begin; i < end; i++) value[section % 2 ? i : 63 - i]++;
			});
		for (int64_t v : value) CHECK(v == sections);
	}
}

TEST(thread_team_rethrows_and_goes_on) {
	ThreadTeam team(4);
	for (int culprit = 0; culprit < 4; culprit++)
		for (int repeat = 0; repeat < 20; repeat++) {
			std::string message;
			std::vector<int> visits(4, 0);
			try {
				team.parallel_for(4, 1, [&](int64_t begin, int64_t, int thread) {
					visits[begin]++;
					if (thread == culprit) throw Error("member " + std::to_string(thread));
				});
			} catch (const Error& error) {
				message = error.what();
			}
			CHECK(message == "member " + std::to_string(culprit));
			for (int visited : visits) CHECK(visited == 1);  // the others still finished
		}
	// All throw: the first member's is the one that is seen, and none is left over for the next section.
	std::string message;
	try {
		team.parallel_for(4, 1, [&](int64_t, int64_t, int thread) { throw Error("member " + std::to_string(thread)); });
	} catch (const Error& error) {
		message = error.what();
	}
	CHECK(message == "member 0");
	bool caught = false;
	try {
		team.parallel_dynamic(100, [&](int64_t i, int) {
			if (i == 57) throw 57;
		});
	} catch (int value) {
		caught = value == 57;
	}
	CHECK(caught);
	int64_t done[4] = {};
	team.parallel_for(4, 1, [&](int64_t begin, int64_t, int) { done[begin] = 1; });
	CHECK(done[0] + done[1] + done[2] + done[3] == 4);
}

TEST(thread_team_wakes_members_that_sleep) {
	ThreadTeam team(3);
	int64_t done[3] = {};
	for (int i = 0; i < 20; i++) {
		std::this_thread::sleep_for(std::chrono::milliseconds(i % 4));  // beyond the time members spin for
		team.parallel_for(3, 1, [&](int64_t begin, int64_t, int) { done[begin]++; });
	}
	for (int64_t count : done) CHECK(count == 20);
}

TEST(thread_team_starts_and_stops) {
	for (int i = 0; i < 30; i++) {
		ThreadTeam team(1 + i % 6);
		if (i % 3 == 0) continue;  // never used
		int64_t sum[6] = {};
		team.parallel_for(100, 1, [&](int64_t begin, int64_t end, int thread) { sum[thread] += end - begin; });
		int64_t total = 0;
		for (int64_t part : sum) total += part;
		CHECK(total == 100);
		if (i % 3 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
	}
}

TEST(thread_team_scratch_is_each_members_own) {
	ThreadTeam team(3);
	std::mutex mutex;
	std::set<void*> seen;
	team.parallel_for(3, 1, [&](int64_t, int64_t, int thread) {
		void* memory = team.scratch(thread, 1000);
		CHECK((uintptr_t)memory % 64 == 0);
		CHECK(team.scratch(thread, 500) == memory);
		auto* bytes = static_cast<uint8_t*>(team.scratch(thread, 100000));
		for (int i = 0; i < 100000; i++) bytes[i] = (uint8_t)thread;
		CHECK(bytes[99999] == thread);
		std::lock_guard lock(mutex);
		seen.insert(bytes);
	});
	CHECK(seen.size() == 3);
}

}  // namespace dreamdist::test
