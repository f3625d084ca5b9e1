// Exits with 0 where the engine loads on this machine.
import { loadAddon } from "@dreamdist/native-cuda";

loadAddon();
