/* The emulator's module was built against glibc 2.38, whose headers give these functions new names. Loaded
 * before it, this gives it the functions of an older glibc under those names. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

long __isoc23_strtol(const char *s, char **end, int base);
unsigned long __isoc23_strtoul(const char *s, char **end, int base);
long long __isoc23_strtoll(const char *s, char **end, int base);
unsigned long long __isoc23_strtoull(const char *s, char **end, int base);
int __isoc23_sscanf(const char *s, const char *format, ...);

long __isoc23_strtol(const char *s, char **end, int base) {
    return strtol(s, end, base);
}
unsigned long __isoc23_strtoul(const char *s, char **end, int base) {
    return strtoul(s, end, base);
}
long long __isoc23_strtoll(const char *s, char **end, int base) {
    return strtoll(s, end, base);
}
unsigned long long __isoc23_strtoull(const char *s, char **end, int base) {
    return strtoull(s, end, base);
}
int __isoc23_sscanf(const char *s, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    int n = vsscanf(s, format, rest);
    va_end(rest);
    return n;
}
