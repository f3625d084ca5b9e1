#!/bin/sh
# Everything that needs a card, in one call of less than nine minutes:
#   sh gpu-suite.sh [--device cuda:0] [--out FOLDER] [--quick] [--only NAME,…] [--seconds N] [--dtypes bf16,f32,tf32]
# Needs Linux on x64, an NVIDIA driver and a POSIX shell. nvidia-smi, compute-sanitizer and a Python with PyTorch are used where they are.
# DD_KIT_HOME: where the kit is unpacked to (default: a folder of its own in $TMPDIR or /tmp).
set -eu
kit=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
read -r id <"$kit/id"
home=${DD_KIT_HOME:-${TMPDIR:-/tmp}/dreamdist-kit-$id}
if [ ! -f "$home/complete" ]; then
	rm -rf "$home"
	mkdir -p "$home"
	# The kit's folder may have lost its permissions on the way, or be mounted without execution.
	cp "$kit/unpack" "$home/unpack"
	chmod 755 "$home/unpack"
	"$home/unpack" "$kit/node.tar.lzma" "$home"
	"$home/unpack" "$kit/app.tar.lzma" "$home"
	: >"$home/complete"
fi
# The C++ library comes along for machines without one, or with an older one.
if ! "$home/bin/node" "$home/suite/loads.mjs" >/dev/null 2>&1; then
	LD_LIBRARY_PATH=$home/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	export LD_LIBRARY_PATH
fi
exec "$home/bin/node" "$home/suite/main.mjs" "$@"
