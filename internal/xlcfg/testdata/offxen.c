/* Lets xl run its dry run where no Xen is, and libxlutil read many configurations in
 * one process. Loaded before xl (LD_PRELOAD).
 *
 * With INGOT_XLU set it reads, from standard input, sequences of: the length of a
 * configuration and its bytes, the number of keys, and for each its length and bytes;
 * lengths are text and end with a newline. It answers in lines: "error" or "ok", and
 * for a read one, for each key, "none", "string HEX LONG|-" or "list HEX|- ...".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *dummy(void) { static char d[4096]; return d; }
void *xencall_open(void *l, unsigned f) { (void)l; (void)f; return dummy(); }
void *xenforeignmemory_open(void *l, unsigned f) { (void)l; (void)f; return dummy(); }
void *xendevicemodel_open(void *l, unsigned f) { (void)l; (void)f; return dummy(); }
void *xenevtchn_open(void *l, unsigned f) { (void)l; (void)f; return dummy(); }
void *xs_open(unsigned long f) { (void)f; return dummy(); }
void *xs_daemon_open(void) { return dummy(); }
int xencall_close(void *h) { (void)h; return 0; }
int xenforeignmemory_close(void *h) { (void)h; return 0; }
int xendevicemodel_close(void *h) { (void)h; return 0; }
int xenevtchn_close(void *h) { (void)h; return 0; }
void xs_close(void *h) { (void)h; }
void xs_daemon_close(void *h) { (void)h; }
int xencall_fd(void *h) { (void)h; return -1; }
int xs_fileno(void *h) { (void)h; return -1; }
void *xencall_alloc_buffer(void *h, size_t n) { (void)h; return calloc(1, n); }
void *xencall_alloc_buffer_pages(void *h, size_t n) { (void)h; return calloc(n, 4096); }
void xencall_free_buffer(void *h, void *p) { (void)h; free(p); }
void xencall_free_buffer_pages(void *h, void *p, size_t n) { (void)h; (void)n; free(p); }
static int nosys(void) { errno = ENOSYS; return -1; }
int xencall0(void *h, unsigned o) { (void)h; (void)o; return nosys(); }
int xencall1(void *h, unsigned o, uint64_t a) { (void)h; (void)o; (void)a; return nosys(); }
int xencall2(void *h, unsigned o, uint64_t a, uint64_t b) { (void)h; (void)o; (void)a; (void)b; return nosys(); }
long xencall2L(void *h, unsigned o, uint64_t a, uint64_t b) { (void)h; (void)o; (void)a; (void)b; return nosys(); }
int xencall3(void *h, unsigned o, uint64_t a, uint64_t b, uint64_t c) { (void)h; (void)o; (void)a; (void)b; (void)c; return nosys(); }
int xencall4(void *h, unsigned o, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { (void)h; (void)o; (void)a; (void)b; (void)c; (void)d; return nosys(); }
int xencall5(void *h, unsigned o, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) { (void)h; (void)o; (void)a; (void)b; (void)c; (void)d; (void)e; return nosys(); }
void *xs_read(void *h, uint32_t t, const char *p, unsigned *n) { (void)h; (void)t; (void)p; (void)n; errno = ENOENT; return NULL; }
void *xs_directory(void *h, uint32_t t, const char *p, unsigned *n) { (void)h; (void)t; (void)p; (void)n; errno = ENOENT; return NULL; }
int libxl_get_physinfo(void *c, void *i) { (void)c; (void)i; return 0; }
int libxl_get_max_cpus(void *c) { (void)c; return 8; }
int libxl_get_max_nodes(void *c) { (void)c; return 1; }

static long number(void) {
	char line[32];
	return fgets(line, sizeof line, stdin) ? atol(line) : -1;
}

static char *bytes(long n) {
	char *b = calloc(1, n + 1);
	if (!b || fread(b, 1, n, stdin) != (size_t)n) _exit(3);
	return b;
}

static void hex(const char *s) {
	putchar('x');
	for (; *s; s++) printf("%02x", (unsigned char)*s);
}

__attribute__((constructor)) static void batch(void) {
	void *(*init)(FILE *, const char *) = dlsym(RTLD_DEFAULT, "xlu_cfg_init");
	if (!getenv("INGOT_XLU") || !init) return; /* the shell that starts xl */
	int (*data)(void *, const char *, int) = dlsym(RTLD_DEFAULT, "xlu_cfg_readdata");
	int (*string)(void *, const char *, const char **, int) = dlsym(RTLD_DEFAULT, "xlu_cfg_get_string");
	int (*whole)(void *, const char *, long *, int) = dlsym(RTLD_DEFAULT, "xlu_cfg_get_long");
	int (*list)(void *, const char *, void **, int *, int) = dlsym(RTLD_DEFAULT, "xlu_cfg_get_list");
	const char *(*item)(void *, int) = dlsym(RTLD_DEFAULT, "xlu_cfg_get_listitem");
	void (*end)(void *) = dlsym(RTLD_DEFAULT, "xlu_cfg_destroy");
	FILE *report = fopen("/dev/null", "w");
	for (long n; (n = number()) >= 0;) {
		char *text = bytes(n);
		void *cfg = init(report, "cfg");
		int bad = data(cfg, text, n);
		puts(bad ? "error" : "ok");
		for (long keys = number(); keys > 0; keys--) {
			char *key = bytes(number());
			const char *s;
			void *l;
			int count;
			long v;
			if (bad) continue;
			if (!string(cfg, key, &s, 1)) {
				printf("string ");
				hex(s);
				if (!whole(cfg, key, &v, 1)) printf(" %ld\n", v);
				else puts(" -");
			} else if (!list(cfg, key, &l, &count, 1)) {
				printf("list");
				for (int i = 0; i < count; i++) {
					putchar(' ');
					if ((s = item(l, i))) hex(s);
					else putchar('-');
				}
				putchar('\n');
			} else puts("none");
			free(key);
		}
		end(cfg);
		free(text);
	}
	fflush(stdout);
	_exit(0);
}
