export { type NpzArray, NpzFile, writeNpz } from "./npz.js";
