/*
 * must - a broken promise of our own stops the program, in every build.
 *
 * Input from outside is never checked with it.
 */
#ifndef HW_BASE_MUST_H
#define HW_BASE_MUST_H

#define HW_MUST(x) ((x) ? (void)0 : hw_must_fail(#x, __FILE__, __LINE__))

_Noreturn void hw_must_fail(const char *what, const char *file, int line);

#endif
