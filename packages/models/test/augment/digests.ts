/** The start of each operation's SHA-256 over its results, stored when timm's and Pillow's bytes agreed. */
export const DIGESTS: Readonly<Record<string, string>> = {
	ShearX: "d42a1c0d6c7c997a",
	ShearY: "870894bbeb11ffda",
	TranslateXRel: "97c47409240277a4",
	TranslateYRel: "0f096fa04ec0311c",
	Rotate: "e3c12bd2305014e3",
	Solarize: "c17b7cd687fa4edc",
	SolarizeAdd: "3f1095fcf5d13fdb",
	Posterize: "1231456c861d7963",
	Color: "952a0d6ad7de7d47",
	Contrast: "92cce94afd7e334c",
	Brightness: "b7f080e29b837b64",
	Sharpness: "c4aefbef7e3cec28",
	AutoContrast: "1a4f39db2c3ddb93",
	Equalize: "faa56cda5904e035",
	Invert: "ead1e34cb73fac30",
};
