# Runs at installation, when the prefix is known: the unit names full paths, and below /usr the configuration is in /etc.
# TEMPLATES is the directory of this file; the rest comes from CMake's installation.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(ONCEGATE_CONFIG_DIR /etc/oncegate)
else()
  set(ONCEGATE_CONFIG_DIR ${CMAKE_INSTALL_PREFIX}/etc/oncegate)
endif()
configure_file(${TEMPLATES}/oncegate.service.in ${SCRATCH}/oncegate.service @ONLY)
# Where the prefix has no systemd that reads it, the unit is there to be copied.
file(INSTALL ${SCRATCH}/oncegate.service DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
# Whoever has a configuration keeps it; packages look after that themselves.
if(NOT EXISTS "$ENV{DESTDIR}${ONCEGATE_CONFIG_DIR}/oncegate.toml")
  file(INSTALL ${CONFIGURATION_FILE} DESTINATION ${ONCEGATE_CONFIG_DIR} RENAME oncegate.toml)
endif()
