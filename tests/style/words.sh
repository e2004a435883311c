#!/bin/bash
# Every source file says its licence, and no line is wider than 128 columns (tabs count four; 132 are let pass).
cd "$(dirname "$0")/../.."
bad=$(git ls-files '*.c' '*.h' '*.def' | xargs grep -L 'SPDX-License-Identifier: Apache-2.0')
wide=$(git ls-files '*.c' '*.h' | xargs awk '{s=$0; gsub(/\t/, "    ", s); if (length(s) > 132) print FILENAME ":" FNR}')
[ -z "$bad$wide" ] || { echo "no licence line: $bad"; echo "too wide: $wide"; exit 1; }
