#!/bin/bash
# A build in shards, as an array job of Slurm. Change what is marked, then
#
#   sbatch --array=1-16 infra/slurm.sh
#
# Every task of the array is a shard. To run one again: scontrol requeue JOB_TASK. (An array of other IDs is another
# split.) docs/how-to/build-a-large-archive.md says how many shards, and what comes after.
#SBATCH --job-name=stillframe
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=stillframe-%A-%a.log
# Two minutes before its time is over the job is asked to stop: it finishes what is under way and writes its report.
#SBATCH --signal=B:TERM@120

set -euo pipefail

: "${SOURCE:=/data/dicom}"            # change it, or give it: sbatch --export=ALL,SOURCE=…
: "${DEST:=/data/archive/dicomweb}"   # a folder that all nodes share, or s3://bucket/prefix
: "${REPORTS:=reports/run-1}"         # beside the script's working folder, not in the archive

mkdir -p "$REPORTS"

# exec: Slurm's signal reaches the build itself.
exec stillframe build "$SOURCE" "$DEST" \
  --shard auto \
  --workers "${SLURM_CPUS_PER_TASK:-8}" \
  --report "$REPORTS/{shard}.json"
