# One program that was built beside this file; a static one needs no BASE.
ARG BASE=scratch
FROM ${BASE}
ARG PROGRAM
COPY ${PROGRAM} /usr/local/bin/
