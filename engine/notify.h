/*
 * notify - tell a service manager that we are ready or stopping (systemd's sd_notify
 * protocol: one datagram to the socket that NOTIFY_SOCKET names; a leading '@' is the
 * abstract namespace).
 *
 * Errors    none: without NOTIFY_SOCKET nothing happens, and a manager that does not
 *           listen is not waited for.
 */
#ifndef HW_NOTIFY_H
#define HW_NOTIFY_H

/* "READY=1", "STOPPING=1" */
void hw_notify(const char *state);

#endif
