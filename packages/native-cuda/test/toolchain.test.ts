import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { installCommand, MINIMUM_CMAKE, missingMessage } from "../scripts/toolchain.mjs";

const has =
	(...programs: string[]) =>
	(name: string) =>
		programs.includes(name);
const linux = { platform: "linux" as const, families: ["debian"], isRoot: true, has: has("apt-get") };

describe("installCommand", () => {
	it.each([
		[["debian"], "apt-get", "apt-get update && apt-get install -y cmake g++ make"],
		[["ubuntu", "debian"], "apt-get", "apt-get update && apt-get install -y cmake g++ make"],
		[["fedora"], "dnf", "dnf install -y cmake gcc-c++ make"],
		[["centos", "rhel", "fedora"], "yum", "yum install -y cmake gcc-c++ make"],
		[["arch"], "pacman", "pacman -Sy --needed --noconfirm cmake gcc make"],
		[["alpine"], "apk", "apk add cmake g++ make"],
		[["opensuse-leap", "suse"], "zypper", "zypper --non-interactive install cmake gcc-c++ make"],
	])("knows %s with %s", (families, manager, command) => {
		expect(installCommand({ platform: "linux", families, isRoot: true, has: has(manager) })).toBe(command);
	});

	it("goes by the distribution where two package managers are installed", () => {
		const both = has("apt-get", "dnf");
		expect(installCommand({ ...linux, families: ["fedora"], has: both })).toMatch(/^dnf/);
		expect(installCommand({ ...linux, families: ["debian"], has: both })).toMatch(/^apt-get/);
	});

	it("goes by what is installed where the distribution is unknown", () => {
		expect(installCommand({ ...linux, families: [], has: has("pacman") })).toMatch(/^pacman/);
	});

	it("becomes root where it is not: sudo, doas, else su", () => {
		const user = { ...linux, isRoot: false };
		expect(installCommand({ ...user, has: has("apt-get", "sudo") })).toMatch(/^sudo sh -c 'apt-get update && .*'$/);
		expect(installCommand({ ...user, has: has("apt-get", "doas") })).toMatch(/^doas sh -c '/);
		expect(installCommand(user)).toMatch(/^su -c '/);
		expect(installCommand({ ...linux, has: has("apt-get", "sudo") })).not.toContain("sudo");
	});

	it("knows Homebrew and winget, and none where there is none", () => {
		expect(installCommand({ platform: "darwin", has: has("brew") })).toBe("xcode-select --install; brew install cmake");
		expect(installCommand({ platform: "win32", has: has("winget") })).toMatch(/^winget install --id Kitware\.CMake /);
		expect(installCommand({ ...linux, has: has("brew") })).toMatch(/^brew install/);
		for (const platform of ["darwin", "win32", "linux"] as const) {
			expect(installCommand({ platform, families: [], isRoot: true, has: has() })).toBeUndefined();
		}
	});
});

describe("missingMessage", () => {
	const cmake = { part: "cmake", problem: "CMake is missing" };
	const compiler = { part: "compiler", problem: "a C++ compiler is missing" };
	const old = { part: "cmake", tooOld: true, problem: "CMake 3.16 is too old", remedy: "CMake 3.20 or later" };

	it("names everything that is missing and gives one command", () => {
		const message = missingMessage([cmake, compiler], linux);
		expect(message).toContain("but CMake is missing and a C++ compiler is missing.");
		expect(message.split("\n").filter((line) => line.startsWith("    "))).toHaveLength(1);
	});

	it("does not advise to install again what is too old there", () => {
		const message = missingMessage([old], linux);
		expect(message).toContain("Needed: CMake 3.20 or later.");
		expect(message).not.toContain("apt-get");
	});

	it("gives both where one is too old and another missing", () => {
		const message = missingMessage([old, compiler], linux);
		expect(message).toContain("CMake 3.20 or later");
		expect(message).toContain("apt-get install");
	});

	it("says what to install where no package manager is known", () => {
		const message = missingMessage([cmake], { ...linux, families: [], has: has() });
		expect(message).toContain(`Install CMake ${MINIMUM_CMAKE} or later and a C++20 compiler`);
	});
});

it("asks for the CMake that CMakeLists.txt asks for", () => {
	const lists = readFileSync(new URL("../CMakeLists.txt", import.meta.url), "utf8");
	expect(lists).toContain(`cmake_minimum_required(VERSION ${MINIMUM_CMAKE})`);
});
