// Methods that personalise a frozen model.
export * from "./prompts/index.js";
