/*
 * health - `hookwheel health`: is the daemon of these settings alive?  For a container's
 * HEALTHCHECK, so that an image needs no curl.
 *
 * Asks GET /healthz where HOOKWHEEL_OPS_LISTEN, else HOOKWHEEL_LISTEN points (an address for
 * all interfaces is asked on loopback), and waits 3 s at most.
 */
#ifndef HW_CLI_HEALTH_H
#define HW_CLI_HEALTH_H

/* argv[0] is the command's name; exit code 0: it answered 200; 1: it did not. */
int hw_health_run(int argc, char **argv);

#endif
