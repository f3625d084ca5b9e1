// The twenty subjects, in an order that a seed's meaning depends on.
import { bird, cat, owl, snail } from "./animals.js";
import { cathedral, house, lighthouse, windmill } from "./buildings.js";
import { cactus, mountain, tree } from "./landscape.js";
import { robot, rocket } from "./machines.js";
import { flower, mushroom } from "./plants.js";
import { fish, whale } from "./sea-animals.js";
import type { Subject } from "./subject.js";
import { balloon, boat, teacup } from "./vessels.js";

export const SUBJECTS = {
	cathedral,
	house,
	lighthouse,
	windmill,
	mountain,
	tree,
	cactus,
	mushroom,
	flower,
	cat,
	owl,
	bird,
	fish,
	whale,
	snail,
	robot,
	rocket,
	boat,
	balloon,
	teacup,
} satisfies Record<string, Subject>;

export type SubjectName = keyof typeof SUBJECTS;
export const SUBJECT_NAMES = Object.keys(SUBJECTS) as SubjectName[];
