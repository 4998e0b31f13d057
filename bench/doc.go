// Package bench measures the built program from outside, as its users meet it:
// it starts bin/plimsoll and drives it through its endpoints. Its benchmarks
// report medians and 99th percentiles and assert nothing; run them with
// `make bench`. It must not reach into any other package but dockertest and
// mototest, which lend it a Docker Engine and a peer.
package bench
