#!/bin/sh
# Makes one table of the data files. A script runs in a directory that holds what
# its "reads" names, at the same paths.
set -eu
mkdir -p /usr/local/share/report
sort data/*.csv > /usr/local/share/report/table.csv
